"""Drawing the blocks of a clip: boxes of some slots of time and a rectangle of patches, and what is in any of them.

The blocks of a sample have one size, and lie anywhere, also over each other. A rectangle is the AND of two rows of a
table, the patches of its rows and those of its columns, a bit a patch; the blocks together are the OR of them.

**Why it ends.** A sample sets its blocks down at most `max_attempts` times; if they never leave enough of the clip,
they are all put where the first one was. A single block leaves enough: that is checked for the largest when the request
is made.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from attrs import frozen
from maskkit.errors import ConfigError
from maskkit.jepa.attempts import first_success
from maskkit.jepa.counter import Bits, Bools, Ints, bits, uniform
from maskkit.jepa.grid import paint, shown
from maskkit.jepa.placements import pack
from maskkit.jepa.sizes import Range, down

_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)
_TABLE_BYTES = 16 * 2**20
"""The most that a table of rows or columns may take; on larger grids blocks are painted one by one."""
_SIZE_COLUMNS = 3


@frozen(kw_only=True)
class VideoRequest:
    """What the blocks of a clip are asked for, checked to be possible.

    A scale s, an aspect a and a share of the time are drawn uniformly from their ranges. On T slots of H x W patches a
    block has `round(sqrt(s * H * W * a))` rows and `round(sqrt(s * H * W / a))` columns, cut to the grid, and that
    share of the slots, rounded, one at least. V-JEPA's law, but that it rounds the area and the slots down.

    Attributes:
        grid: (T, H, W).
        count: blocks of a sample.
        spatial_scale: area of a block, as a share of a frame.
        temporal_scale: slots of a block, as a share of the clip.
        aspect: height / width of a block.
        slots: the first slots of the clip, where something must be left; the later ones count as part of a block.
        min_rest: tokens that are in no block, at least.
        max_attempts: how often a sample sets its blocks down.
        where: what messages begin with.
    """

    grid: tuple[int, int, int]
    count: int
    spatial_scale: Range
    temporal_scale: Range
    aspect: Range
    slots: int
    min_rest: int
    max_attempts: int
    where: str = ""

    def __attrs_post_init__(self) -> None:
        """Raises ConfigError where the largest block leaves too little."""
        rest = self._rest(self.spatial_scale[1])
        if rest >= self.min_rest:
            return
        shares = np.arange(self.spatial_scale[1], 0, -0.005)
        fits = next((down(share) for share in shares.tolist() if self._rest(share) >= self.min_rest), None)
        way = f"an upper end of {fits:g} does" if fits else "lower min_context or temporal_scale"
        raise ConfigError(
            f"{self.where}spatial_scale: a block of that size may leave {rest} of {shown(self.grid)} tokens, and "
            f"{self.min_rest} must be left, got {self.spatial_scale}; {way}"
        )

    @property
    def least_slots(self) -> int:
        """Slots of the shortest block."""
        return self._slots_of(self.temporal_scale[0])

    @property
    def least_block(self) -> int:
        """Tokens of the smallest block."""
        return self.least_slots * min(h * w for h, w in self._rectangles(self.spatial_scale[0]))

    def _rest(self, scale: float) -> int:
        """The tokens that the largest block of a scale leaves in the first slots, wherever it is."""
        area = max(h * w for h, w in self._rectangles(scale))
        slots = min(self._slots_of(self.temporal_scale[1]), self.slots)
        return self.slots * self.grid[1] * self.grid[2] - slots * area

    def _slots_of(self, share: float) -> int:
        return min(max(round(share * self.grid[0]), 1), self.grid[0])

    def _rectangles(self, scale: float) -> list[tuple[int, int]]:
        """Height and width for this scale and every aspect. Both are monotone in the scale for each aspect."""
        _, H, W = self.grid
        area = scale * H * W
        low, high = self.aspect
        jumps = [(k + 0.5) ** 2 / area for k in range(H + 1)] + [area / (k + 0.5) ** 2 for k in range(W + 1)]
        ends = sorted({low, high, *(jump for jump in jumps if low < jump < high)})
        return [rectangle(area, a, (H, W)) for a in (low, high, *((a + b) / 2 for a, b in pairwise(ends)))]


def rectangle(area: float, aspect: float, frame: tuple[int, int]) -> tuple[int, int]:
    """The height and width that come nearest to an area and a height / width on a frame."""
    height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    return min(max(height, 1), frame[0]), min(max(width, 1), frame[1])


class VideoBlocks:
    """Draws what a request asks for."""

    def __init__(self, request: VideoRequest) -> None:
        self.request = request
        slots, height, width = request.grid
        self.still = request.least_slots == request.slots == slots  # all slots are alike
        self._patches = height * width
        self._most = np.array(request.grid)[:, None]
        self._rows, self._columns = _tables(height, width)
        self._whole = pack(np.ones((1, self._patches), np.bool_))
        self._times = np.where(_intervals(slots), np.uint64(2**64 - 1), np.uint64(0))

    def draw(self, keys: Bits, outside: Bools, inside: Bools) -> None:
        """Write what is in no block, and what is in any, of the samples with these keys: both (B, T, H * W).

        The slots after the first `slots` count as inside.
        """
        sizes = self._sizes(keys)
        words = first_success(
            len(keys),
            lambda rows, numbers: self._attempt(keys[rows], sizes[:, rows], numbers),
            self.request.max_attempts,
            lambda rows: self._union(*self._set_down(keys[rows], sizes[:, rows], np.zeros_like(rows), 1)),
            likely=True,
        )
        octets = words.astype("<u8", copy=False).view(np.uint8)
        cells = np.unpackbits(octets, axis=-1, count=self._patches, bitorder="little").view(np.bool_)
        inside[:], outside[:] = cells, ~cells  # a single slot stands for all

    def _sizes(self, keys: Bits) -> Ints:
        """Slots, height and width of the blocks of each sample: (3, B)."""
        asked = self.request
        share, area, aspect = (
            low + (high - low) * chance
            for (low, high), chance in zip(
                (asked.temporal_scale, asked.spatial_scale, asked.aspect),
                uniform(keys, 0, _SIZE_COLUMNS).T,
                strict=True,
            )
        )
        area *= self._patches
        numbers: Ints = np.rint([share * asked.grid[0], np.sqrt(area * aspect), np.sqrt(area / aspect)]).astype(
            np.int64
        )
        np.maximum(numbers, 1, out=numbers)
        np.minimum(numbers, self._most, out=numbers)
        return numbers

    def _attempt(self, keys: Bits, sizes: Ints, numbers: Ints) -> tuple[Bits, Bools]:
        """What is in the blocks (R, T or 1, words), and whether they leave enough, for attempts with these numbers."""
        union = self._union(*self._set_down(keys, sizes, numbers, self.request.count))
        taken = np.bitwise_count(union).sum(axis=(1, 2), dtype=np.int64)
        rest = union.shape[1] * self._patches - taken
        return union, rest * (self.request.grid[0] if self.still else 1) >= self.request.min_rest

    def _set_down(self, keys: Bits, sizes: Ints, numbers: Ints, count: int) -> tuple[Bits, Bits | None]:
        """The first `count` blocks of attempts: patches (count, R, words), and slots (count, R, T) as full words."""
        slots, height, width = self.request.grid
        first: Any = _SIZE_COLUMNS + numbers * (2 * self.request.count)
        top, left = _two_of(bits(keys, first, count).T, height + 1 - sizes[1], width + 1 - sizes[2])
        patches = self._cells(top, left, sizes)
        if self.still:
            return patches, None
        start = (uniform(keys, first + self.request.count, count).T * (slots + 1 - sizes[0])).astype(np.int64)
        return patches, self._times.take(start * (slots + 1) + sizes[0], axis=0)

    def _cells(self, top: Ints, left: Ints, sizes: Ints) -> Bits:
        """The patches of rectangles, a bit each: (count, R, words)."""
        _, height, width = self.request.grid
        if self._rows is None or self._columns is None:
            boxes = np.stack(np.broadcast_arrays(top, left, sizes[1], sizes[2]), axis=-1)
            return pack(paint(boxes, (height, width)))
        patches: Bits = self._rows.take(top * (height + 1) + sizes[1], axis=0)
        patches &= self._columns.take(left * (width + 1) + sizes[2], axis=0)
        return patches

    def _union(self, patches: Bits, times: Bits | None) -> Bits:
        """What is in any block: (R, T or 1, words)."""
        if times is None:
            still: Bits = np.bitwise_or.reduce(patches, axis=0)[:, None]
            return still
        union = np.zeros((patches.shape[1], self.request.grid[0], patches.shape[2]), np.uint64)
        for block, when in zip(patches, times, strict=True):
            union |= block[:, None] & when[:, :, None]
        union[:, self.request.slots :] = self._whole
        return union


def _two_of(words: Bits, one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Two random integers below `one` and `other` out of each word."""
    high = (words >> _HALF) * one.astype(np.uint64) >> _HALF
    low = (words & _LOW) * other.astype(np.uint64) >> _HALF
    return high.astype(np.int64), low.astype(np.int64)


@lru_cache(maxsize=8)
def _tables(height: int, width: int) -> tuple[Bits | None, Bits | None]:
    """The patches of `count` rows from `start` on, at `start * (height + 1) + count`; of columns likewise."""
    places = max(height * (height + 1), width * (width + 1))
    if places * height * width > 8 * _TABLE_BYTES:
        return None, None
    rows, columns = _intervals(height), _intervals(width)
    return pack(rows.repeat(width, axis=1)), pack(np.tile(columns, height))


def _intervals(size: int) -> Bools:
    """(size * (size + 1), size): row `start * (size + 1) + count` holds `count` positions from `start` on."""
    start, count = np.divmod(np.arange(size * (size + 1)), size + 1)
    position = np.arange(size)
    inside: Bools = (position >= start[:, None]) & (position < (start + count)[:, None])
    return inside
