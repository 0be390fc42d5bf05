"""All places that a block can take on a grid, numbered, so that drawing a block is drawing a number.

The sizes are few (`sizes.py`), so are the places: 341 for targets of 15-20 % on a 14 x 14 grid. Each place
has a bitset of the places that it leaves free. What k blocks leave free is the AND of their k bitsets, its weighted
number of bits is the chance that a random block would fit, and one uniform number picks one of those bits: the law of
"draw a size and a corner until the block is free", without drawing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from maskkit_jepa.blocks.sizes import Size
from maskkit_jepa.grid import apart, block_places, paint
from maskkit_jepa.randomness import Array, Bits, Bools, Floats, Ints

_WORD = 64
_TABLE_BYTES = 16 * 2**20
"""The most that the table of painted places may take; more are painted one by one."""
_BITSET_PLACES = 8192
"""Up to here bitsets are made (8 MiB for these, half a second); grids of more places than that do without."""
_LONG = 256
"""Numbers in a row that are worth a call of their own."""


class Law:
    """Draws numbers `0 .. n - 1` by their probabilities.

    A table says where in the running probabilities each of many small steps of [0, 1) begins, so that hardly any
    number has to be searched for.
    """

    def __init__(self, weights: Floats) -> None:
        self.running = np.cumsum(weights)
        self.running /= self.running[-1]
        self._steps = 8 * len(weights)
        edges = self.running.searchsorted(np.arange(self._steps + 1) / self._steps, side="right")
        self._first = edges[:-1].astype(np.int32)
        self._known: Bools = edges[:-1] == edges[1:]

    def draw(self, uniform: Floats) -> Ints:
        """A number for each number in [0, 1)."""
        step = (uniform * self._steps).astype(np.int64)
        drawn: Ints = self._first.take(step).astype(np.int64)
        open_ = np.flatnonzero(~self._known.take(step))
        drawn.ravel()[open_] = self.running.searchsorted(uniform.ravel()[open_], side="right")
        return drawn


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
        groups, weights, starts, counts = [], [], [0], []
        for h, w, weight in self.sizes:
            places = block_places(grid, h, w)
            rows = -(-len(places) // _WORD) * _WORD
            group = np.zeros((rows, 4), np.int32)
            group[: len(places)] = places
            groups.append(group)
            weights.append(np.where(np.arange(rows) < len(places), weight / len(places), 0.0))
            starts.append(starts[-1] + rows)
            counts.append(len(places))
        self.boxes: Array = np.concatenate(groups)
        self.weights: Floats = np.concatenate(weights)
        self.real = self.boxes[:, 2] > 0
        self.starts: Ints = np.array(starts[:-1])
        self._counts = np.array(counts)
        self._size_law = Law(np.array([size.weight for size in self.sizes]))
        self._law = Law(self.weights)

    # -- one block ------------------------------------------------------------------------------------------------

    def draw(self, uniform: Floats) -> Ints:
        """A place for each number in [0, 1)."""
        return self._law.draw(uniform)

    def draw_sizes(self, uniform: Floats) -> Ints:
        """The number of a size for each number in [0, 1)."""
        return self._size_law.draw(uniform)

    def draw_of(self, sizes: Ints, uniform: Floats) -> Ints:
        """A place of the size with this number, for each number in [0, 1)."""
        places: Ints = self.starts[sizes] + (uniform * self._counts[sizes]).astype(np.int64)
        return places

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

    @cached_property
    def _divisors(self) -> Floats:
        """The weights of words; 1 for those that are never picked."""
        return np.where(self._word_weights > 0, self._word_weights, 1.0)

    def pick(self, free: Bits, uniform: Floats) -> tuple[Ints, Bools]:
        """One place of each bitset (R, words), by weight and a number in [0, 1): places (R,), whether there was one."""
        size, words = free.shape
        counts = np.ascontiguousarray(np.bitwise_count(free).T)
        running = _accumulated(counts * self._word_weights[:, None])
        total = running[-1]
        target = uniform * total
        word = (running <= target).view(np.uint8).sum(axis=0, dtype=np.uint8).astype(np.int64)
        np.minimum(word, words - 1, out=word)
        rows = np.arange(size)
        flat = word * size + rows
        count = counts.ravel().take(flat)
        rank = ((target - running.ravel().take(flat)) / self._divisors.take(word) + count).astype(np.int64)
        np.minimum(rank, count - np.uint8(1), out=rank)  # rounding may have reached the count
        return word * _WORD + _nth_bit(free.ravel().take(rows * words + word), rank), total > 0

    def weight(self, bitsets: Bits) -> Floats:
        """The probability of each bitset (R, words): that a block by the law has one of its places."""
        weights: Floats = np.bitwise_count(bitsets) @ self._word_weights
        return weights


@lru_cache(maxsize=32)
def placements(grid: tuple[int, int], sizes: tuple[Size, ...]) -> Placements:
    """The places of these sizes; samplers of one process share them."""
    return Placements(grid, sizes)


def pack(cells: Bools) -> Bits:
    """Booleans (..., N) as words of 64 bits, the rest of the last one zero."""
    padded = np.zeros((*cells.shape[:-1], -(-cells.shape[-1] // _WORD) * _WORD), np.bool_)
    padded[..., : cells.shape[-1]] = cells
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8").astype(np.uint64)


def _accumulated(rows: Floats) -> Floats:
    """Running sums along the first axis, in place; NumPy's own are slow there where rows are long."""
    if rows.shape[1] < _LONG:
        return np.add.accumulate(rows, axis=0, out=rows)
    for above, row in pairwise(rows):
        row += above
    return rows


def _selection() -> Ints:
    """Entry 8 * b + n: the position of the n-th set bit of the byte b."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    positions: Ints = np.argsort(1 - bits, axis=1, kind="stable").ravel()
    return positions


_SELECT = _selection()
_ONE, _THREE, _EIGHT, _BYTE, _PLACES = map(np.uint64, (1, 3, 8, 0xFF, 63))
_IN_EACH = np.uint64(0x0101010101010101)
_TOP_OF_EACH = np.uint64(0x8080808080808080)


def _nth_bit(words: Bits, rank: Ints) -> Ints:
    """The position of the `rank`-th set bit of each word; anything in 0 .. 63 where there are fewer.

    The eight bytes of a word are counted and compared at once, in the bytes of a word (Vigna 2008, "Broadword
    implementation of rank/select queries", section 3).
    """
    wanted = rank.astype(np.uint64)
    running = np.bitwise_count(words.view(np.uint8)).view(np.uint64) * _IN_EACH  # byte i: set bits in bytes 0 .. i
    reached = (running | _TOP_OF_EACH) - (wanted + _ONE) * _IN_EACH & _TOP_OF_EACH
    shift = (_EIGHT - np.bitwise_count(reached)) << _THREE & _PLACES
    before = (running << _EIGHT) >> shift & _BYTE
    byte = words >> shift & _BYTE
    within = (byte << _THREE) + wanted - before
    position: Ints = shift.astype(np.int64)
    position += _SELECT.take(within.astype(np.int64), mode="clip")
    return position
