"""Drawing the blocks of a clip: boxes of some slots of time and a rectangle of patches, and what is in any of them.

The blocks of a sample have one size, and lie anywhere, also over each other. A table holds the patches of the block of
each size at each place, a bit a patch; the blocks together are the OR of its rows.

**Why it ends.** A sample sets its blocks down at most `max_attempts` times; if they never leave enough of the clip,
they are all put where the first one was. A single block leaves enough: that is checked for the largest when the request
is made.
"""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import numpy as np
from attrs import frozen
from maskkit.errors import ConfigError
from maskkit_jepa.blocks.bitsets import intervals, rectangle_words, unpack
from maskkit_jepa.blocks.placements import pack
from maskkit_jepa.blocks.retries import first_success
from maskkit_jepa.blocks.sizes import Range, down
from maskkit_jepa.grid import block_places, shown
from maskkit_jepa.randomness import Bits, Bools, Floats, Ints, coarse

_TABLE_BYTES = 2**22
"""The most that the table of places may take; where there are more, blocks are made one by one."""
_CHUNK = 512
"""Samples whose booleans are written at a time, to stay in the processor's cache."""
_SIZE_COLUMNS = 2


@frozen(kw_only=True)
class VideoRequest:
    """What the blocks of a clip are asked for, checked to be possible.

    A scale s, an aspect a and a share of the time are drawn uniformly from their ranges. On T slots of H x W patches
    the area A is `s * H * W`, rounded; a block has `sqrt(A * a)` rows and `sqrt(A / a)` columns, rounded, and that
    share of the slots, rounded: each to the nearest number, one at least, and cut to the grid. V-JEPA's law, but that
    it rounds the area and the slots down.

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

    def sizes(self) -> list[tuple[int, int]]:
        """All heights and widths between the least and the greatest that a block may have."""
        heights, widths = zip(*(s for scale in self.spatial_scale for s in self._rectangles(scale)), strict=True)
        return list(product(range(min(heights), max(heights) + 1), range(min(widths), max(widths) + 1)))

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
        area = whole_area(scale, H * W)
        low, high = self.aspect
        jumps = [(k + 0.5) ** 2 / area for k in range(H + 1)] + [area / (k + 0.5) ** 2 for k in range(W + 1)]
        ends = sorted({low, high, *(jump for jump in jumps if low < jump < high)})
        return [rectangle(area, a, (H, W)) for a in (low, high, *((a + b) / 2 for a, b in pairwise(ends)))]


def whole_area(scale: Any, patches: int) -> Any:
    """The area of blocks of these scales, in whole patches: the nearest number, a half up, one at least."""
    return np.maximum(np.floor(scale * patches + 0.5), 1)


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
        self._whole = pack(np.ones((1, self._patches), np.bool_))
        self._times = np.where(intervals(slots), np.uint64(2**64 - 1), np.uint64(0))
        self._table, self._starts = self._tabulate()

    def _tabulate(self) -> tuple[Bits | None, Ints]:
        """The patches of blocks, size by size and place by place, and where the places of `height, width` begin."""
        _, height, width = self.request.grid
        sizes = self.request.sizes()
        counts = [(height + 1 - h) * (width + 1 - w) for h, w in sizes]
        starts = np.zeros((height + 1, width + 1), np.int64)
        if sum(counts) * self._whole.nbytes > _TABLE_BYTES:
            return None, starts
        starts[tuple(zip(*sizes, strict=True))] = np.cumsum([0, *counts[:-1]])
        boxes = np.concatenate([block_places((height, width), h, w) for h, w in sizes])
        return rectangle_words((height, width), *boxes.T), starts

    def draw(self, keys: Bits, outside: Bools, inside: Bools) -> None:
        """Write what is in no block, and what is in any, of the samples with these keys: both (B, T, H * W).

        The slots after the first `slots` count as inside.
        """
        sizes = self._sizes(keys)
        words = first_success(
            len(keys),
            lambda rows, numbers: self._attempt(keys[rows], sizes[:, rows], numbers),
            self.request.max_attempts,
            lambda rows: self._union(keys[rows], sizes[:, rows], np.zeros_like(rows), 1),
            likely=True,
        )
        for start in range(0, len(keys), _CHUNK):
            part = slice(start, start + _CHUNK)
            inside[part] = unpack(words[part], self._patches)  # a single slot stands for all
            np.logical_not(inside[part], out=outside[part])

    def _sizes(self, keys: Bits) -> Floats:
        """Slots, height and width of the blocks of each sample, whole numbers: (3, B)."""
        asked = self.request
        ranges = asked.temporal_scale, asked.spatial_scale, asked.aspect
        share, scale, aspect = (
            low if low == high else low + (high - low) * chance
            for (low, high), chance in zip(ranges, coarse(keys, 0, 3), strict=True)
        )
        sizes = np.empty((3, len(keys)))
        sizes[0] = share * asked.grid[0]
        area = whole_area(scale, self._patches)
        sizes[1] = np.sqrt(area * aspect)
        sizes[2] = area / sizes[1]
        np.rint(sizes, out=sizes)
        np.maximum(sizes, 1, out=sizes)
        np.minimum(sizes, self._most, out=sizes)
        return sizes

    def _attempt(self, keys: Bits, sizes: Floats, numbers: Ints) -> tuple[Bits, Bools]:
        """What is in the blocks (R, T or 1, words), and whether they leave enough, for attempts with these numbers."""
        union = self._union(keys, sizes, numbers, self.request.count)
        taken = (np.bitwise_count(union) @ np.ones(union.shape[2])).sum(axis=1)
        rest = union.shape[1] * self._patches - taken
        return union, rest * (self.request.grid[0] if self.still else 1) >= self.request.min_rest

    def _union(self, keys: Bits, sizes: Floats, numbers: Ints, count: int) -> Bits:
        """What is in any of the first `count` blocks of attempts: (R, T or 1, words)."""
        slots = self.request.grid[0]
        first: Any = _SIZE_COLUMNS + numbers * (2 * self.request.count)
        patches = self._set_down(coarse(keys, first, count), sizes)
        if self.still:
            still: Bits = np.bitwise_or.reduce(patches, axis=0)[:, None]
            return still
        when = np.floor(coarse(keys, first + self.request.count, count) * (slots + 1 - sizes[0]))
        times = self._times.take((when * (slots + 1) + sizes[0]).astype(np.int64), axis=0)
        union = np.zeros((len(keys), slots, patches.shape[2]), np.uint64)
        for block, time in zip(patches, times, strict=True):
            union |= block[:, None] & time[:, :, None]
        union[:, self.request.slots :] = self._whole
        return union

    def _set_down(self, chances: Floats, sizes: Floats) -> Bits:
        """The patches of blocks at the places that numbers in [0, 1) say: (count, R) -> (count, R, words)."""
        _, height, width = self.request.grid
        _, h, w = sizes
        columns = width + 1 - w
        places = (chances * ((height + 1 - h) * columns)).astype(np.int64)
        if self._table is None:
            top, left = np.divmod(places, columns.astype(np.int64))
            return rectangle_words((height, width), *np.broadcast_arrays(top, left, *sizes[1:].astype(np.int64)))
        places += self._starts.take((h * (width + 1) + w).astype(np.int64))
        patches: Bits = self._table.take(places, axis=0)
        return patches
