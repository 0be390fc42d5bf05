"""Whether so many rectangles fit on a grid without touching the same token: decided by finding a place for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from maskkit_jepa.blocks.sizes import Size
from maskkit_jepa.grid import apart
from maskkit_jepa.randomness import Bools

Box = tuple[int, int, int, int]
"""(top, left, height, width)."""

_STEPS = 100_000
"""Rectangles that the search sets down before it gives up, about a quarter of a second."""


def packings(
    grid: tuple[int, int], sizes: Sequence[Size], count: int, around: Box | None = None, steps: int = _STEPS
) -> Iterator[list[Box]]:
    """Arrangements of `count` disjoint rectangles of these sizes: boards of equal ones first, then mixed ones.

    Where this ends without one, there is none; or there is one that a search of so many steps does not find.

    Args:
        grid: (H, W).
        sizes: that may be used, each as often as it fits.
        count: rectangles of an arrangement, `around` not counted.
        around: a rectangle that stands already, which all others must leave alone.
        steps: rectangles that the search sets down before it gives up.
    """
    ordered = sorted(sizes, key=lambda size: size.area)
    taken = around[2] * around[3] if around else 0
    if not ordered or ordered[0].area * count + taken > grid[0] * grid[1]:
        return
    if around is None:
        yield from _boards(grid, ordered, count)
    yield from _search(grid, ordered, count, around, steps)


def _boards(grid: tuple[int, int], sizes: Sequence[Size], count: int) -> Iterator[list[Box]]:
    """Equal rectangles in rows and columns."""
    for h, w, _ in sizes:
        rows, columns = grid[0] // h, grid[1] // w
        if rows * columns >= count:
            places = [(row * h, column * w, h, w) for row in range(rows) for column in range(columns)]
            yield places[:count]


def _search(
    grid: tuple[int, int], sizes: Sequence[Size], count: int, around: Box | None, steps: int
) -> Iterator[list[Box]]:
    """Depth first, rectangles in the order of their upper left corners; sets of places are the bits of integers."""
    places = sorted(
        ((y, x, h, w) for h, w, _ in sizes for y in range(grid[0] - h + 1) for x in range(grid[1] - w + 1)),
        key=lambda box: (box[0], box[1], box[2] * box[3]),
    )
    table = np.array(places, np.int32)
    later: dict[int, int] = {}

    def free_after(i: int) -> int:
        """The places after place i in the order that share no token with it."""
        if i not in later:
            clear = apart(table, table[i])
            clear[: i + 1] = False
            later[i] = _bitset(clear)
        return later[i]

    start = np.ones(len(table), np.bool_) if around is None else apart(table, np.array(around))
    open_places, chosen = [_bitset(start)], list[int]()
    for _ in range(steps):
        while open_places[-1].bit_count() < count - len(chosen):
            open_places.pop()
            if not chosen:
                return
            chosen.pop()
        lowest = open_places[-1] & -open_places[-1]
        open_places[-1] ^= lowest
        place = lowest.bit_length() - 1
        if len(chosen) + 1 == count:
            yield [places[i] for i in (*chosen, place)]
        else:
            chosen.append(place)
            open_places.append(open_places[-1] & free_after(place))


def _bitset(members: Bools) -> int:
    return int.from_bytes(np.packbits(members, bitorder="little").tobytes(), "little")
