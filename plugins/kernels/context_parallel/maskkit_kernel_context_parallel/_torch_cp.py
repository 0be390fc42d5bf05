"""Shards for Torch's own context parallelism, which is private and changes: looked at here only."""

from typing import Any

import torch
from maskkit.errors import ConfigError

TESTED = ((2, 13),)
"""Versions of Torch whose private interface this is written for."""


def _base() -> type:
    """The class that Torch's load balancers derive from."""
    version = tuple(map(int, torch.__version__.split(".")[:2]))
    if version not in TESTED:
        known = ", ".join(".".join(map(str, one)) for one in TESTED)
        raise ConfigError(
            f"the load balancers of Torch's context parallelism are private, and known for Torch {known}, not "
            f"{torch.__version__}; use maskkit.attend(..., shards=shards)"
        )
    from torch.distributed.tensor.experimental._context_parallel._load_balancer import _LoadBalancer

    return _LoadBalancer


class LoadBalancer(_base()):  # type: ignore[misc]
    """`load_balancer` of `_context_parallel_shard`: rows as shards deal them out.

    The mask stays that of the attention function: give `mask.export("flex")` among the buffers, which Torch shards too.

    Args:
        shards: of `maskkit.shards`.
        attention: "flex_attention", what the model computes with; see `generate_permutation`.

    Raises:
        ConfigError: ranks hold unlike numbers of rows, the attention is another one, or this Torch is not known.
    """

    def __init__(self, shards: Any, *, attention: str) -> None:
        self.permutation = generate_permutation(shards, attention=attention)[None]

    def _generate_indices(self, restore: bool = False) -> Any:
        """(1, length): the rows in the order of ranks, or with `restore` back."""
        return self.permutation.argsort(1) if restore else self.permutation


def generate_permutation(shards: Any, *, attention: str) -> Any:
    """The rows in the order of ranks, int64 (length,): what torchtitan asks of its load balancers.

    Args:
        shards: of `maskkit.shards`.
        attention: "flex_attention", what the model computes with. Torch's ring under `scaled_dot_product_attention` has
            no mask but causal, and takes it for granted that rows are dealt out by its own head-tail plan.

    Raises:
        ConfigError: ranks hold unlike numbers of rows, while the framework cuts the sequence into equal parts; or the
            attention is another one, which would drop the mask.
    """
    if attention != "flex_attention":
        raise ConfigError(
            "attention must be 'flex_attention', whose mask Torch deals out along with the rows, got "
            f"{attention!r}: under these rows Torch's ring of scaled_dot_product_attention gives wrong results without "
            "a word; use maskkit.attend(..., shards=shards)"
        )
    counts = torch.bincount(torch.from_numpy(shards.ranks), minlength=shards.world_size)
    if len(counts.unique()) > 1:
        raise ConfigError(
            f"ranks hold {int(counts.min()):,} to {int(counts.max()):,} rows, and Torch cuts into equal parts; choose "
            f"a chunk such that {shards.world_size} * chunk divides the {shards.length:,} rows"
        )
    return torch.from_numpy(shards.permutation)
