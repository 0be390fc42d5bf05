"""Blockwise: attention in JAX at the cost of what the mask allows, under `jit` and with gradients."""

from typing import Any

from attrs import field, frozen
from maskkit import Kernel, Mask, NoFit, Problem, hookimpl, optional, positive


@frozen(kw_only=True)
class Blockwise(Kernel):
    """Blocks of queries one after the other, each with just the keys that it sees, in loops of equal shapes.

    Attributes:
        rows: queries of a block; None chooses what is cheapest.
    """

    name = "blockwise"
    library = "jax"
    samples = ({},)
    rows: int | None = field(default=None, validator=optional(positive))

    def fits(self, problem: Problem) -> float | NoFit:
        if problem.library != "jax":
            return NoFit(f"it computes in JAX, not in {problem.library}")
        if problem.dropout_p:
            return NoFit("it drops nothing; give dropout_p=0.0")
        if problem.empty:
            return NoFit("an array is empty: there is nothing to compute")
        from maskkit_kernel_blockwise._plan import NoSpans, cost

        try:
            return cost(problem, self.rows)
        except NoSpans:
            return NoFit("the mask has no few intervals per row, or its values are elsewhere")

    def attend(self, query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
        from maskkit_kernel_blockwise import _jax

        return _jax.attend(query, key, value, problem, self.rows)


@hookimpl
def maskkit_kernels():
    return [Blockwise]
