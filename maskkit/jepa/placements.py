"""All places that a block can take on a grid, numbered, so that drawing a block is drawing a number.

The sizes are few (`maskkit.jepa.sizes`), so are the places: 341 for targets of 15-20 % on a 14 x 14 grid. Each place has
a bitset of the places that it leaves free. What k blocks leave free is the AND of their k bitsets, its weighted number of
bits is the chance that a random block would fit, and one uniform number picks one of those bits. This is the law of
"draw a size and a corner until the block is free", without drawing again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
from maskkit.jepa.counter import Array, Bits, Bools, Floats, Ints
from maskkit.jepa.grid import apart, block_places, paint
from maskkit.jepa.sizes import Size

_WORD = 64
_TABLE_BYTES = 16 * 2**20
"""The most that the table of painted places may take; more are painted one by one."""
_BITSET_PLACES = 3000
"""Up to here bitsets are made (a megabyte); a grid with more places is so large that drawing again is cheaper."""
_PAIR_PLACES = 800
"""Up to here the law of the first two blocks is tabulated."""


class Placements:
    """The places of blocks of given sizes: corners uniform, sizes by their weights.

    Places are numbered size by size, from a multiple of 64 each, so that a word of a bitset speaks of one size.

    Args:
        grid: (H, W).
        sizes: with weights that add up to 1.
    """

    def __init__(self, grid: tuple[int, int], sizes: Sequence[Size]) -> None:
        self.grid = grid
        self.sizes = tuple(sizes)
        groups, weights = [], []
        for h, w, weight in self.sizes:
            places = block_places(grid, h, w)
            rows = -(-len(places) // _WORD) * _WORD
            group = np.zeros((rows, 4), np.int32)
            group[: len(places)] = places
            groups.append(group)
            weights.append(np.where(np.arange(rows) < len(places), weight / len(places), 0.0))
        self.boxes: Array = np.concatenate(groups)
        self.weights: Floats = np.concatenate(weights)
        self.real = self.boxes[:, 2] > 0
        self._running = np.cumsum(self.weights)
        self._running /= self._running[-1]

    # -- one block ------------------------------------------------------------------------------------------------

    def draw(self, uniform: Floats) -> Ints:
        """A place for each number in [0, 1)."""
        return np.searchsorted(self._running, uniform, side="right")

    def cells(self, places: Ints) -> Bools:
        """The places as booleans: (...,) -> (..., N)."""
        if self._table is None:
            return paint(self.boxes[places], self.grid)
        return np.take(self._table, places, axis=0)

    @cached_property
    def _table(self) -> Bools | None:
        return paint(self.boxes, self.grid) if len(self.boxes) * self.grid[0] * self.grid[1] <= _TABLE_BYTES else None

    # -- blocks that leave each other alone -----------------------------------------------------------------------

    @property
    def has_bitsets(self) -> bool:
        """Whether `free` and `pick` can be used."""
        return len(self.boxes) <= _BITSET_PLACES

    @cached_property
    def free(self) -> Bits:
        """(places, words): bit p of row i says that places i and p share no token."""
        rows = [np.packbits(apart(box, self.boxes) & self.real, bitorder="little") for box in self.boxes]
        return np.stack(rows).view("<u8").astype(np.uint64)

    @cached_property
    def everywhere(self) -> Bits:
        """(words,): the bitset of all places."""
        return np.packbits(self.real, bitorder="little").view("<u8").astype(np.uint64)

    @cached_property
    def _word_weights(self) -> Floats:
        return self.weights[::_WORD]

    def pick(self, free: Bits, uniform: Floats) -> tuple[Ints, Bools]:
        """One place of each bitset, by weight: bitsets (R, words), numbers (R,) -> places (R,), whether there was one."""
        rows = np.arange(len(free))
        counts = np.bitwise_count(free)
        running = np.cumsum(counts * self._word_weights, axis=1)
        total = running[:, -1]
        target = uniform * total
        word = np.minimum((running <= target[:, None]).sum(axis=1), free.shape[1] - 1)
        count, weight = counts[rows, word].astype(np.int64), self._word_weights[word]
        rank = ((target - running[rows, word]) / weight + count).astype(np.int64)
        return word * _WORD + _nth_bit(free[rows, word], np.clip(rank, 0, np.maximum(count - 1, 0))), total > 0

    @cached_property
    def pairs(self) -> tuple[Floats, Array] | None:
        """The law of two disjoint blocks: running probabilities, and their places (pairs, 2); short of 1 by what fails."""
        if len(self.boxes) > _PAIR_PLACES:
            return None
        apart = np.unpackbits(self.free.view(np.uint8), axis=1, bitorder="little").astype(np.bool_)
        joint = apart * self.weights
        room = joint.sum(axis=1, keepdims=True)
        joint *= np.divide(self.weights[:, None], room, out=np.zeros_like(room), where=room > 0)
        found = np.argwhere(joint > 0)
        return np.cumsum(joint[joint > 0]), found


@lru_cache(maxsize=32)
def placements(grid: tuple[int, int], sizes: tuple[Size, ...]) -> Placements:
    """The places of these sizes; samplers of one process share them."""
    return Placements(grid, sizes)


def _selection() -> Array:
    """(256, 8): the position of the n-th set bit of a byte."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return np.argsort(1 - bits, axis=1, kind="stable").astype(np.int64)


_SELECT = _selection()


def _nth_bit(words: Bits, rank: Ints) -> Ints:
    """The position of the `rank`-th set bit of each word; anything where there are fewer."""
    parts = words.view(np.uint8).reshape(-1, 8)
    if sys.byteorder == "big":
        parts = parts[:, ::-1]
    running = np.cumsum(np.bitwise_count(parts), axis=1, dtype=np.int64)
    byte = np.minimum((running <= rank[:, None]).sum(axis=1), 7)
    rows = np.arange(len(words))
    within = rank - running[rows, byte] + np.bitwise_count(parts[rows, byte])
    return byte * 8 + _SELECT[parts[rows, byte], np.clip(within, 0, 7)]
