"""What is drawn for a batch, in host memory: booleans of context and targets on a grid of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from attrs import field, frozen
from maskkit.arrays import fetched
from maskkit_jepa.grid import Grid
from maskkit_jepa.randomness import Array, Bits, Bools


class Packed(NamedTuple):
    """Masks at a bit a token: bit i of a row is bit `i % 8` of byte `i // 8`.

    Attributes:
        context: (B, ceil(N / 8)) bytes.
        targets: (B, T, ceil(N / 8)) bytes.
        num_tokens: N.
    """

    context: Any
    targets: Any
    num_tokens: int

    def unpack(self) -> tuple[Bools, Bools]:
        """NumPy booleans (B, N) and (B, T, N), from whatever library and device."""
        context, targets = (
            np.unpackbits(fetched(part), axis=-1, count=self.num_tokens, bitorder="little").astype(np.bool_)
            for part in (self.context, self.targets)
        )
        return context, targets


@frozen(eq=False, kw_only=True, repr=False)
class Drawn:
    """Context and targets of B samples on a grid of N tokens, as NumPy arrays. True = use.

    Attributes:
        context: (B, N) booleans, the tokens that the context encoder sees.
        targets: (B, T, N) booleans, the tokens that each target holds.
        grid: tokens along each axis; N is their product, tokens are numbered in C order.
        sample_keys: (B,) the samples' keys (`maskkit_jepa.keys`), for what is drawn later, such as trimming.
        boxes: (B, T, 2 * axes) integers where every target is one box: its corner, then its extent; on images
            (top, left, height, width). Else None.
        extra: further arrays of the samples, (B, ...), by name.
    """

    _context: Bools
    _targets: Bools
    grid: Grid
    sample_keys: Bits = field(repr=False)
    boxes: Array | None = None
    extra: Mapping[str, Array] = {}

    @property
    def arrays(self) -> tuple[Bools, Bools]:
        """Context and targets, uncopied."""
        return self._context, self._targets

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, T, N)."""
        batch, targets, tokens = self._targets.shape
        return batch, targets, tokens
