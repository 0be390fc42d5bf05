"""All places that a block can take on a grid, numbered, so that drawing a block is drawing a number.

The sizes are few (`maskkit.jepa.sizes`), so are the places: 341 for targets of 15-20 % on a 14 x 14 grid. Each place
has a bitset of the places that it leaves free. What k blocks leave free is the AND of their k bitsets, its weighted
number of bits is the chance that a random block would fit, and one uniform number picks one of those bits: the law of
"draw a size and a corner until the block is free", without drawing again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from maskkit.jepa.counter import Array, Bits, Bools, Floats, Ints
from maskkit.jepa.grid import apart, block_places, paint
from maskkit.jepa.sizes import Size

_WORD = 64
_TABLE_BYTES = 16 * 2**20
"""The most that the table of painted places may take; more are painted one by one."""
_BITSET_PLACES = 8192
"""Up to here bitsets are made (8 MiB for these, half a second); grids of more places than that do without."""
_PAIR_PLACES = 2048
"""Up to here the law of the first two blocks is tabulated."""
_AHEAD_PLACES = 640
"""Up to here it is looked ahead whether a third and a fourth block will find a place."""


class Opening(NamedTuple):
    """The first two of several disjoint blocks.

    Attributes:
        running: (pairs,) running probabilities of the pairs that there are, up to 1.
        places: (pairs, 2).
        third: (pairs, words) what the third may be, so that a fourth fits; None where nothing is looked ahead.
    """

    running: Floats
    places: Ints
    third: Bits | None


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
        self._openings: dict[int, Opening] = {}

    # -- one block ------------------------------------------------------------------------------------------------

    def draw(self, uniform: Floats) -> Ints:
        """A place for each number in [0, 1)."""
        return np.searchsorted(self._running, uniform, side="right")

    def cells(self, places: Ints) -> Bools:
        """The places as booleans: (...,) -> (..., N)."""
        if self._table is None:
            return paint(self.boxes[places], self.grid)
        return np.take(self._table, places, axis=0)

    def words(self, places: Ints) -> Bits:
        """The places as bitsets of tokens: (...,) -> (..., words of 64)."""
        return pack(self.cells(places)) if self._packed is None else self._packed.take(places, axis=0)

    @cached_property
    def _packed(self) -> Bits | None:
        return None if self._table is None else pack(self._table)

    @cached_property
    def _table(self) -> Bools | None:
        return paint(self.boxes, self.grid) if len(self.boxes) * self.grid[0] * self.grid[1] <= _TABLE_BYTES else None

    # -- blocks that leave each other alone -----------------------------------------------------------------------

    @property
    def has_bitsets(self) -> bool:
        """Whether `free` and `pick` can be used."""
        return len(self.boxes) <= _BITSET_PLACES

    def looks_ahead(self, count: int) -> bool:
        """Whether `opening` makes sure that all of so many blocks find a place."""
        return len(self.boxes) <= (_PAIR_PLACES if count <= 2 else _AHEAD_PLACES if count <= 4 else 0)

    @cached_property
    def free(self) -> Bits:
        """(places, words): bit p of row i says that places i and p share no token."""
        boxes = self.boxes.astype(np.int16)  # grids of so few places are small
        rows = [np.packbits(apart(box, boxes) & self.real, bitorder="little") for box in boxes]
        bitsets = np.stack(rows).view("<u8").astype(np.uint64)
        bitsets[~self.real] = 0
        return bitsets

    @cached_property
    def _word_weights(self) -> Floats:
        return self.weights[::_WORD]

    def pick(self, free: Bits, uniform: Floats) -> tuple[Ints, Bools]:
        """One place of each bitset (R, words), by weight and a number in [0, 1): places (R,), whether there was one."""
        words = free.shape[1]
        counts = np.bitwise_count(free)
        running = (counts * self._word_weights).cumsum(axis=1)
        total = running[:, -1]
        target = uniform * total
        word = (running > target[:, None]).argmax(axis=1)
        flat = np.arange(0, free.size, words)
        flat += word
        count = counts.ravel().take(flat)
        rank = ((target - running.ravel().take(flat)) / self._word_weights.take(word) + count).astype(np.int64)
        np.minimum(rank, count - np.uint8(1), out=rank)  # rounding may have reached the count
        return word * _WORD + _nth_bit(free.ravel().take(flat), rank), total > 0

    def opening(self, count: int) -> Opening | None:
        """How `count` disjoint blocks begin; None where that is too much to tabulate.

        The law is that of blocks set down one after the other, starting over where one finds no place. If this looks
        ahead, the chance of each pair to be completed is in its probability, and nothing is ever started over.
        """
        if len(self.boxes) > _PAIR_PLACES:
            return None
        ahead = count if self.looks_ahead(count) else 2
        if ahead not in self._openings:
            self._openings[ahead] = self._tabulate(ahead)
        return self._openings[ahead]

    def _tabulate(self, count: int) -> Opening:
        clear = np.unpackbits(self.free.view(np.uint8), axis=1, bitorder="little").astype(np.float64)
        single = clear @ self.weights
        inverse = np.divide(1, single, out=np.zeros_like(single), where=single > 0)
        joint = clear * np.outer(self.weights, self.weights) * (inverse[:, None] + inverse)
        first, second = (axis.astype(np.int32) for axis in np.nonzero(np.triu(joint)))
        weights, third = joint[first, second], None
        if count > 2:
            beside = self._weight(self.free[first] & self.free[second])
            weights *= beside > 0
        if count == 4:
            third = np.concatenate([self._completable(i) for i in np.flatnonzero(self.real).tolist()])
            weights *= np.divide(self._weight(third), beside, out=np.zeros_like(beside), where=beside > 0)
        possible = weights > 0
        running = np.cumsum(weights[possible])
        places = np.column_stack([first, second])[possible]
        return Opening(running / running[-1], places, None if third is None else third[possible])

    def _weight(self, bitsets: Bits) -> Floats:
        weights: Floats = np.bitwise_count(bitsets) @ self._word_weights
        return weights

    def _completable(self, i: int) -> Bits:
        """For each place j > i apart from i: the bitset of the k apart from both that leave a place for a fourth."""
        near = np.flatnonzero(np.unpackbits(self.free[i].view(np.uint8), bitorder="little"))
        later = near[near > i]
        fourth = np.zeros((len(later), len(near)), np.uint64)
        for word in (self.free & self.free[i]).T:
            fourth |= word[later, None] & word[near]
        found = np.zeros((len(later), len(self.boxes)), np.bool_)
        found[:, near] = fourth > 0
        return np.packbits(found, axis=1, bitorder="little").view("<u8").astype(np.uint64) & self.free[later]


@lru_cache(maxsize=32)
def placements(grid: tuple[int, int], sizes: tuple[Size, ...]) -> Placements:
    """The places of these sizes; samplers of one process share them."""
    return Placements(grid, sizes)


def pack(cells: Bools) -> Bits:
    """Booleans (..., N) as words of 64 bits, the rest of the last one zero."""
    padded = np.zeros((*cells.shape[:-1], -(-cells.shape[-1] // _WORD) * _WORD), np.bool_)
    padded[..., : cells.shape[-1]] = cells
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8").astype(np.uint64)


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
    counts = np.bitwise_count(parts)
    running = counts.cumsum(axis=1, dtype=np.uint8)
    byte = (running > rank[:, None]).argmax(axis=1)
    flat = np.arange(0, parts.size, 8)
    flat += byte
    within = rank - running.ravel().take(flat) + counts.ravel().take(flat)
    position: Ints = byte * 8 + _SELECT[parts.ravel().take(flat), within]
    return position
