"""Which sizes a block can have on a grid, and how likely each is.

A block is asked for by its area, as a share of the grid, and its aspect, width / height. On a grid both come in steps,
so the law of sizes is a short table, and can be computed exactly: with s and a uniform in their ranges,
`h = round(sqrt(s * H * W / a))` and `w = round(h * a)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

_SLACK = 1e-9
Range = tuple[float, float]


class Size(NamedTuple):
    """A block of `height` x `width` tokens, and its probability."""

    height: int
    width: int
    weight: float

    @property
    def area(self) -> int:
        """Tokens in it."""
        return self.height * self.width


def rounded_sizes(grid: tuple[int, int], scale: Range, aspect: Range) -> list[Size]:
    """The law as it stands: sizes are rounded, then cut to the grid, and may so fall out of both ranges."""
    H, W = grid
    tokens = H * W
    low, high = _widened(aspect)
    found: dict[tuple[int, int], float] = {}
    for h in range(_round(scale[0] * tokens / high), _round(scale[1] * tokens / low) + 2):
        for w in range(math.floor(h * low), math.ceil(h * high) + 2):
            weight = _probability(h, w, tokens, _widened(scale), (low, high))
            if weight > 0:
                key = (min(max(h, 1), H), min(max(w, 1), W))
                found[key] = found.get(key, 0.0) + weight
    return normalised(Size(h, w, weight) for (h, w), weight in found.items())


def sizes_inside(grid: tuple[int, int], scale: Range, aspect: Range) -> list[Size]:
    """The same law on the condition that area and aspect are inside their ranges; empty if no size is."""
    return normalised(
        size
        for size in rounded_sizes(grid, scale, aspect)
        if is_inside(size.area / (grid[0] * grid[1]), scale) and is_inside(size.width / size.height, aspect)
    )


def context_sizes(grid: tuple[int, int], scale: Range, aspect: Range) -> list[Size]:
    """Sizes with an area in the range; with the aspect too where the grid has such, else as near as it allows."""
    tokens = grid[0] * grid[1]
    rounded = normalised(s for s in rounded_sizes(grid, scale, aspect) if is_inside(s.area / tokens, scale))
    if rounded:
        inside = [size for size in rounded if is_inside(size.width / size.height, aspect)]
        return normalised(inside) if inside else rounded
    return normalised(Size(h, w, 1.0) for h, w in all_sizes(grid) if is_inside(h * w / tokens, scale))


def nearest_ranges(grid: tuple[int, int], scale: Range, aspect: Range) -> tuple[Range, Range]:
    """The smallest widening of the ranges that admits a size; an aspect that can stay stays as it is."""
    tokens = grid[0] * grid[1]
    sizes = [(h, w) for h, w in all_sizes(grid) if is_inside(w / h, aspect)]
    if not sizes:
        middle = math.sqrt(aspect[0] * aspect[1])
        ratio = min((w / h for h, w in all_sizes(grid)), key=lambda r: abs(math.log(r / middle)))
        aspect = _including(aspect, ratio)
        sizes = [(h, w) for h, w in all_sizes(grid) if is_inside(w / h, aspect)]
    shares = sorted({h * w / tokens for h, w in sizes})
    share = min(shares, key=lambda s: max(scale[0] - s, s - scale[1], 0.0))
    return _including(scale, share), aspect


def is_inside(value: float, bounds: Range) -> bool:
    """Whether a number lies in a closed range, up to the rounding of floats."""
    return bounds[0] - _SLACK <= value <= bounds[1] + _SLACK


def down(value: float) -> float:
    """Rounded down to four digits, for suggestions."""
    return math.floor(value * 1e4 + 1e-6) / 1e4


def up(value: float) -> float:
    """Rounded up to four digits."""
    return math.ceil(value * 1e4 - 1e-6) / 1e4


def _including(bounds: Range, value: float) -> Range:
    return min(bounds[0], down(value)), max(bounds[1], up(value))


def all_sizes(grid: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width of every rectangle of a grid."""
    return [(h, w) for h in range(1, grid[0] + 1) for w in range(1, grid[1] + 1)]


def _round(square: float) -> int:
    return math.floor(math.sqrt(square))


def _widened(bounds: Range) -> Range:
    """A range of one number gets a width, so that it has probabilities like any other."""
    low, high = bounds
    return (low * (1 - _SLACK), high * (1 + _SLACK)) if high - low < _SLACK * high else bounds


def _probability(h: int, w: int, tokens: int, scale: Range, aspect: Range) -> float:
    """The probability that h and w come out of the rounding.

    For a given aspect, h asks the scale into an interval whose ends are proportional to the aspect; w asks the aspect
    into an interval. The length of the first is piecewise linear, so the trapezoid rule between its kinks is exact.
    """
    low = aspect[0] if h == 0 else max(aspect[0], (w - 0.5) / h)
    high = aspect[1] if h == 0 else min(aspect[1], (w + 0.5) / h)
    if high <= low or (h == 0 and w):
        return 0.0
    slopes = (max(h - 0.5, 0.0) ** 2 / tokens, (h + 0.5) ** 2 / tokens)

    def length(a: float) -> float:
        return max(0.0, min(scale[1], slopes[1] * a) - max(scale[0], slopes[0] * a))

    kinks = sorted(
        {low, high, *(end / slope for end in scale for slope in slopes if slope and low < end / slope < high)}
    )
    total = sum((length(a) + length(b)) * (b - a) / 2 for a, b in pairwise(kinks))
    return total / (scale[1] - scale[0]) / (aspect[1] - aspect[0])


def normalised(sizes: Iterable[Size]) -> list[Size]:
    """Sizes in order, their weights adding up to 1."""
    found = list(sizes)
    total = sum(size.weight for size in found)
    return [Size(h, w, weight / total) for h, w, weight in sorted(found)]
