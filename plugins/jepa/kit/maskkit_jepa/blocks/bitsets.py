"""Rectangles of any size and place as bitsets of tokens, many at once: the tokens of rows AND the tokens of columns."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from maskkit_jepa.blocks.placements import pack
from maskkit_jepa.grid import paint
from maskkit_jepa.randomness import Bits, Bools, Ints

_TABLE_BYTES = 16 * 2**20
"""The most that the tables of a grid may take; rectangles of larger grids are painted one by one."""


def rectangle_words(grid: tuple[int, int], top: Ints, left: Ints, height: Ints, width: Ints) -> Bits:
    """Rectangles (...,) on the grid as bitsets (..., words of 64 tokens)."""
    tables = _tables(*grid)
    if tables is None:
        return pack(paint(np.stack([top, left, height, width], axis=-1), grid))
    rows, columns = tables
    words: Bits = rows.take(top * (grid[0] + 1) + height, axis=0)
    words &= columns.take(left * (grid[1] + 1) + width, axis=0)
    return words


def unpack(words: Bits, tokens: int) -> Bools:
    """Bitsets (..., words) as booleans (..., tokens)."""
    octets = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=tokens, bitorder="little").view(np.bool_)


@lru_cache(maxsize=8)
def _tables(height: int, width: int) -> tuple[Bits, Bits] | None:
    """The tokens of `count` rows from `start` on, at `start * (height + 1) + count`; of columns likewise."""
    places = height * (height + 1) + width * (width + 1)
    if places * height * width > 8 * _TABLE_BYTES:
        return None
    return pack(intervals(height).repeat(width, axis=1)), pack(np.tile(intervals(width), height))


def intervals(size: int) -> Bools:
    """(size * (size + 1), size): row `start * (size + 1) + count` holds `count` positions from `start` on."""
    start, count = np.divmod(np.arange(size * (size + 1)), size + 1)
    position = np.arange(size)
    inside: Bools = (position >= start[:, None]) & (position < (start + count)[:, None])
    return inside
