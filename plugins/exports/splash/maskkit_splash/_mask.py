"""JAX splash attention: a mask object that computes the tiles that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask
from maskkit import AttentionMask, ConfigError


@frozen
class SplashMask(splash_attention_mask.Mask):  # type: ignore[misc]
    """A maskkit mask as splash attention takes it: equal and hashed by the value of the mask."""

    mask: AttentionMask

    @property
    def shape(self) -> tuple[int, ...]:
        """(q_len, kv_len)."""
        return self.mask.shape

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self.mask[index])


def splash_mask(mask: AttentionMask) -> Any:
    """The object for one mask, or a `MultiHeadMask` of one for each head where the mask has heads.

    Raises:
        ConfigError: the mask has a batch, or a row that allows nothing, for which splash attention is undefined.
    """
    if "batch" in mask.axes:
        raise ConfigError(
            f"splash attention takes masks of queries and keys, one for each head, and {mask!r} has a batch; "
            "export mask[i] of each sample"
        )
    if "head" in mask.axes:
        return splash_attention_mask.MultiHeadMask([splash_mask(mask[head]) for head in range(mask.shape[0])])
    if blocked := mask.stats().blocked_rows:
        raise ConfigError(f"{mask!r} has {blocked} rows that allow nothing, which splash attention leaves undefined")
    return SplashMask(mask)
