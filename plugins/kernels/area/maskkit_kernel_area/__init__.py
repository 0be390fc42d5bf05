"""Area: attention on a CPU at the cost of what the mask allows, training too."""

from typing import Any

from attrs import field, frozen
from maskkit import Kernel, Mask, NoFit, Problem, hookimpl, optional, positive


@frozen(kw_only=True)
class Area(Kernel):
    """Blocks of queries that see the same local picture are one fused call over strided views of their keys.

    Attributes:
        rows: queries of a block, where rows do not stand together in larger shapes; None chooses what is cheapest.
    """

    name = "area"
    samples = ({}, dict(rows=16))
    rows: int | None = field(default=None, validator=optional(positive))

    def fits(self, problem: Problem) -> float | NoFit:
        if problem.library != "torch" or problem.device != "cpu":
            return NoFit(f"it computes on Torch on the cpu, not on {problem.library} on {problem.device}")
        if problem.dropout_p:
            return NoFit("it drops nothing; give dropout_p=0.0")
        if problem.empty:
            return NoFit("an array is empty: there is nothing to compute")
        from maskkit_kernel_area._plan import NoSpans, cost

        try:
            return cost(problem, self.rows)
        except NoSpans:
            return NoFit("the mask has no few intervals per row, or its values are elsewhere")

    def attend(self, query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
        from maskkit_kernel_area import _autograd

        return _autograd.attend(query, key, value, self.rows, problem)


@hookimpl
def maskkit_kernels():
    return [Area]
