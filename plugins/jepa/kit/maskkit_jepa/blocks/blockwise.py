"""Block-wise masking: rectangles are set down on one mask, over each other, until it has its number of tokens.

**Why it ends.** A rectangle is taken only if it adds a token, so there are at most as many as tokens are wanted. Of
each there are `_TRIES` tries; where all fail, the mask grows from its rim instead, at least a token at a time.
"""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen
from maskkit.errors import ConfigError
from maskkit_jepa.blocks.bitsets import rectangle_words, unpack
from maskkit_jepa.blocks.sizes import Range, all_sizes, down, is_inside, up
from maskkit_jepa.grid import shown
from maskkit_jepa.randomness import Bits, Bools, Ints, choose, fork, uniform

_TRIES = 10
"""Tries at a rectangle, as in BEiT's code."""
_DRAWS = 4
"""Random numbers of a try: area, aspect, and two for the corner."""
_FORK_BLOCKS, _FORK_RIM = 301, 302


@frozen(kw_only=True)
class BlockWise:
    """Rectangles of a mask: their area is drawn uniformly, the logarithm of their aspect too.

    The law is that of BEiT (arXiv:2106.08254, algorithm 1), but for two things: a rectangle may be as wide or as high
    as the grid, and where it finds no more rectangles the mask is not left short of its number.

    Attributes:
        grid: (H, W).
        smallest: the least area that is drawn, but where fewer tokens are still wanted; sides are then rounded.
        largest: tokens that a rectangle may add at most.
        aspect: height / width.

    Raises:
        ConfigError: no rectangle of the grid is like that.
    """

    grid: tuple[int, int]
    smallest: int
    largest: int
    aspect: Range

    def __attrs_post_init__(self) -> None:
        if self.smallest > self.largest:
            raise ConfigError(
                f"min_block must be at most {self.largest}, the patches that a block may mask on a {shown(self.grid)} "
                f"grid, got {self.smallest}; lower it, or raise the share that is masked"
            )
        ratios = [h / w for h, w in all_sizes(self.grid) if self.smallest <= h * w <= self.largest]
        if any(is_inside(ratio, self.aspect) for ratio in ratios):
            return
        if not ratios:
            raise ConfigError(
                f"min_block: no block of a {shown(self.grid)} grid has {self.smallest} to {self.largest} patches, got "
                f"{self.smallest}; lower it"
            )
        middle = math.log(self.aspect[0] * self.aspect[1]) / 2
        nearest = min(ratios, key=lambda ratio: abs(math.log(ratio) - middle))
        low, high = min(self.aspect[0], down(nearest)), max(self.aspect[1], up(nearest))
        raise ConfigError(
            f"aspect_ratio_range: no block of {self.smallest} to {self.largest} patches of a {shown(self.grid)} grid "
            f"has height / width in {self.aspect}, got {self.aspect}; the nearest range that one has is "
            f"({low:g}, {high:g})"
        )

    def draw(self, keys: Bits, counts: Ints) -> Bools:
        """Masks (B, N) of exactly `counts` (B,) tokens, which must be below N."""
        height, width = self.grid
        masks = np.zeros((len(keys), -(-height * width // 64)), np.uint64)
        wanted, rows = counts.astype(np.int64), np.flatnonzero(counts)
        block_keys, first = fork(keys, _FORK_BLOCKS), 0
        while rows.size:
            most = np.minimum(wanted[rows], self.largest)
            blocks, fits = self._try(block_keys[rows], first, most)
            added = np.bitwise_count(blocks & ~masks[rows, None]).sum(axis=2, dtype=np.int64)
            good = fits & (added > 0) & (added <= most[:, None])
            best, lucky = good.argmax(axis=1), np.flatnonzero(good.any(axis=1))
            best, rows = best[lucky], rows[lucky]
            masks[rows] |= blocks[lucky, best]
            wanted[rows] -= added[lucky, best]
            rows = rows[wanted[rows] > 0]
            first += _DRAWS * _TRIES
        cells = unpack(masks, height * width)
        short = np.flatnonzero(wanted)
        if short.size:
            cells[short] = self._grown(fork(keys[short], _FORK_RIM), cells[short], wanted[short])
        return cells

    def _try(self, keys: Bits, first: int, most: Ints) -> tuple[Bits, Bools]:
        """Rectangles (R, tries, words), and whether they are on the grid."""
        height, width = self.grid
        chances = uniform(keys, first, _DRAWS * _TRIES)
        area = self.smallest + (most[:, None] - self.smallest) * chances[:, :_TRIES]
        low, high = np.log(self.aspect)
        aspect = np.exp(low + (high - low) * chances[:, _TRIES : 2 * _TRIES])
        h, w = (np.rint(np.sqrt(side)).astype(np.int64) for side in (area * aspect, area / aspect))
        fits = (h > 0) & (w > 0) & (h <= height) & (w <= width)
        h, w = np.where(fits, h, 1), np.where(fits, w, 1)
        top = (chances[:, 2 * _TRIES : 3 * _TRIES] * (height + 1 - h)).astype(np.int64)
        left = (chances[:, 3 * _TRIES :] * (width + 1 - w)).astype(np.int64)
        return rectangle_words(self.grid, top, left, h, w), fits

    def _grown(self, keys: Bits, cells: Bools, wanted: Ints) -> Bools:
        """The masks (R, N) with so many more tokens (R,), each next to one of them where there is one."""
        tokens, rows, first = cells.shape[1], np.arange(len(cells)), 0
        while rows.size:
            rim = self._around(cells[rows]) & ~cells[rows]
            rim |= ~np.any(rim, axis=1, keepdims=True) & ~cells[rows]
            more = choose(keys[rows], first, wanted[rows], rim)
            cells[rows] |= more
            wanted[rows] -= more.sum(axis=1)
            rows = rows[wanted[rows] > 0]
            first += tokens
        return cells

    def _around(self, cells: Bools) -> Bools:
        """What is above, below, left or right of a token of the masks (R, N)."""
        planes = cells.reshape(-1, *self.grid)
        near = np.zeros_like(planes)
        near[:, 1:] |= planes[:, :-1]
        near[:, :-1] |= planes[:, 1:]
        near[:, :, 1:] |= planes[:, :, :-1]
        near[:, :, :-1] |= planes[:, :, 1:]
        return near.reshape(cells.shape)
