"""Context parallel: attention of a sequence that several ranks hold, for any mask."""

from typing import Any

from attrs import frozen
from maskkit import Kernel, Mask, NoFit, Problem, hookimpl, lazy

_of_torch = lazy(__name__, "LoadBalancer", "generate_permutation", source="_torch_cp")
_watched = lazy(__name__, "RankError", "Watch", source="_roll_call")


def __getattr__(name: str) -> Any:
    return (_watched if name in ("RankError", "Watch") else _of_torch)(name)


@frozen(kw_only=True)
class ContextParallel(Kernel):
    """Every rank fetches the keys that its rows see from those who hold them, and computes with an installed kernel.

    `maskkit.attend(query, key, value, mask, shards=maskkit.shards(mask, world_size))`, on every rank of the group.
    """

    name = "context_parallel"
    over_ranks = True

    def fits(self, problem: Problem) -> float | NoFit:
        return NoFit("it computes over ranks; give shards=maskkit.shards(mask, world_size)")

    def attend_over_ranks(
        self, query: Any, key: Any, value: Any, mask: Mask | None, shards: Any, group: Any, **options: Any
    ) -> Any:
        from maskkit_kernel_context_parallel import _attend

        return _attend.attend(query, key, value, mask, shards, group, **options)


@hookimpl
def maskkit_kernels():
    return [ContextParallel]
