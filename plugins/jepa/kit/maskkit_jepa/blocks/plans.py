"""What target blocks and a context block are asked for, checked to be possible before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from attrs import field, frozen
from maskkit.errors import ConfigError
from maskkit_jepa.blocks.packing import Box, packings
from maskkit_jepa.blocks.sizes import (
    Range,
    Size,
    all_sizes,
    context_sizes,
    down,
    is_inside,
    nearest_ranges,
    normalised,
    rounded_sizes,
    sizes_inside,
)
from maskkit_jepa.grid import block_places, free_in, paint, shown
from maskkit_jepa.randomness import Bools

Law = Callable[[tuple[int, int], Range, Range], list[Size]]
OVERLAPS = ("disjoint", "allow", "legacy")
_QUICK = 2000
"""Steps of a search that is repeated, for suggestions and for the size to clip to."""
_TRIED = 64
"""Arrangements that are looked at for one that leaves enough context."""


@frozen(kw_only=True)
class BlockPlan:
    """Target blocks and a context block on a grid.

    Attributes:
        grid: (H, W).
        count: targets of a sample.
        targets: sizes of targets, with their probabilities.
        contexts: sizes of context blocks, with their probabilities.
        overlap: "disjoint": targets share no token; "allow": they may; "legacy": the law of the first implementation.
        min_context: tokens that a context keeps at least.
        max_attempts: attempts of a sample; with "legacy" of a target.
        blind: with "legacy", the size of the block that is set down blindly after the last attempt.
        one_size: whether all targets of a sample have one size; with "allow" only.
        known: an arrangement of targets that leaves enough context: the proof that there is one.
    """

    grid: tuple[int, int]
    count: int
    targets: tuple[Size, ...]
    contexts: tuple[Size, ...]
    overlap: str
    min_context: int
    max_attempts: int
    blind: tuple[int, int] = (1, 1)
    one_size: bool = False
    known: tuple[Box, ...] = field(default=(), repr=False)

    @property
    def tokens(self) -> int:
        """Tokens of the grid."""
        return self.grid[0] * self.grid[1]

    @property
    def context_is_safe(self) -> bool:
        """Whether every context keeps `min_context` tokens, whichever targets are drawn."""
        largest = max(size.area for size in self.targets)
        return min(size.area for size in self.contexts) - self.count * largest >= self.min_context


@frozen(kw_only=True)
class BlockRequest:
    """The parameters that a plan is made from, and what messages call them.

    Attributes:
        grid: (H, W).
        count: targets of a sample.
        target_scale: area of a target, as a share of the grid.
        context_scale: area of the context block, before the targets are taken out of it.
        aspect: width / height of a target.
        min_context: tokens that a context keeps at least.
        max_attempts: attempts of a sample; with "legacy" of a target.
        blind: with "legacy", the size of the block that is set down blindly.
        one_size: whether all targets of a sample have one size; with "allow" only.
        context_aspect: width / height of the context block, as near as the grid has it; None is `aspect`.
        upright: whether `aspect` is height / width.
        scale_name: what messages call `target_scale`.
    """

    grid: tuple[int, int]
    count: int
    target_scale: Range
    context_scale: Range
    aspect: Range
    min_context: int
    max_attempts: int
    blind: tuple[int, int] = (1, 1)
    one_size: bool = False
    context_aspect: Range | None = None
    upright: bool = False
    scale_name: str = "target_scale"

    def plan(self, overlap: str) -> BlockPlan:
        """The plan.

        Raises:
            ConfigError: it is not possible; the message says what would be, nearest to it.
        """
        legacy = overlap == "legacy"
        targets = self._sizes(rounded_sizes if legacy else sizes_inside)
        contexts = self._contexts(rounded_sizes if legacy else context_sizes)
        tokens = self.grid[0] * self.grid[1]
        if self.count > tokens:
            raise ConfigError(
                f"num_target_masks must be at most {tokens} on a {shown(self.grid)} grid, got {self.count}"
            )
        if not targets:
            raise ConfigError(self._no_size())
        if not contexts:
            (low, high), _ = nearest_ranges(self.grid, self.context_scale, (0.0, math.inf))
            raise ConfigError(
                f"context_scale: no rectangle of a {shown(self.grid)} grid covers {_percent(self.context_scale)} of "
                f"it, got {self.context_scale}; the nearest range that one does is ({low:g}, {high:g})"
            )
        known = [] if legacy else self._arrangement(targets, contexts, overlap)
        if self.one_size:
            targets = normalised(
                size for size in targets if self._room([_in_a_corner(size)], contexts) >= self.min_context
            )
        return BlockPlan(
            grid=self.grid,
            count=self.count,
            targets=tuple(targets),
            contexts=tuple(contexts),
            overlap=overlap,
            min_context=self.min_context,
            max_attempts=self.max_attempts,
            blind=self.blind,
            one_size=self.one_size,
            known=tuple(known),
        )

    def is_crowded(self) -> bool:
        """Whether the largest size asked for leaves no room for the other targets, be they the smallest."""
        sizes = self._sizes(sizes_inside)
        most = max((size.area for size in sizes), default=0)
        largest = [size for size in sizes if size.area == most]
        if not sizes or self.count == 1 or next(packings(self.grid, largest, self.count, steps=0), None):
            return False
        for h, w, _ in largest:
            for y, x in np.ndindex(self.grid[0] - h + 1, self.grid[1] - w + 1):
                if next(packings(self.grid, sizes, self.count - 1, around=(y, x, h, w), steps=_QUICK), None):
                    return False
        return True

    def clipped_scale(self) -> Range:
        """The target scale with its upper end lowered until that many of the largest targets fit at once."""
        sizes = self._sizes(sizes_inside)
        contexts = self._contexts(context_sizes)
        for area in sorted({size.area for size in sizes}, reverse=True):
            equal = [size for size in sizes if size.area == area]
            found = self._found(equal, self.count) if contexts else ()
            if any(self._room(boxes, contexts) >= self.min_context for boxes in found):
                share = area / (self.grid[0] * self.grid[1])
                return self.target_scale[0], min(self.target_scale[1], max(share, self.target_scale[0]))
        return self.target_scale

    def _sizes(self, law: Law) -> list[Size]:
        """Sizes of targets."""
        if not self.upright:
            return law(self.grid, self.target_scale, self.aspect)
        return [Size(h, w, weight) for w, h, weight in law(self.grid[::-1], self.target_scale, self.aspect)]

    def _contexts(self, law: Law) -> list[Size]:
        """Sizes of context blocks."""
        return law(self.grid, self.context_scale, self.context_aspect or self.aspect)

    # -- whether it is possible -----------------------------------------------------------------------------------

    def _arrangement(self, targets: Sequence[Size], contexts: Sequence[Size], overlap: str) -> list[Box]:
        """An arrangement that keeps all promises."""
        if overlap == "allow":
            smallest = min(targets, key=lambda size: size.area)
            candidates: Iterator[list[Box]] = iter([[_in_a_corner(smallest)] * self.count])
        else:
            candidates = packings(self.grid, targets, self.count)
        best = -1
        for boxes in islice(candidates, _TRIED):
            room = self._room(boxes, contexts)
            if room >= self.min_context:
                return boxes
            best = max(best, room)
        if best < 0:
            raise ConfigError(self._no_room())
        fewer = "" if overlap == "allow" else "lower num_target_masks, "
        raise ConfigError(
            f"min_context: {self.count} targets of {_percent(self.target_scale)} on a {shown(self.grid)} grid leave a "
            f"context of {best} patches at most, got {self.min_context}; lower it to that, {fewer}lower "
            f"{self.scale_name}, or raise context_scale"
        )

    def _found(self, sizes: Sequence[Size], count: int) -> Iterator[list[Box]]:
        return islice(packings(self.grid, sizes, count, steps=_QUICK), _TRIED)

    def _room(self, boxes: Sequence[Box], contexts: Sequence[Size]) -> int:
        """The most tokens that a context block keeps beside these targets."""
        taken: Bools = np.any(paint(np.array(boxes), self.grid), axis=0)
        corners = np.concatenate([block_places(self.grid, size.height, size.width) for size in contexts])
        return int(free_in(~taken[None], self.grid, corners).max())

    def _no_size(self) -> str:
        grid = self.grid[::-1] if self.upright else self.grid
        (low, high), aspect = nearest_ranges(grid, self.target_scale, self.aspect)
        ratio = "height / width" if self.upright else "width / height"
        with_aspect = "" if aspect == self.aspect else f" with aspect_ratio_range=({aspect[0]:g}, {aspect[1]:g})"
        return (
            f"{self.scale_name}: no rectangle of a {shown(self.grid)} grid covers {_percent(self.target_scale)} of it "
            f"with {ratio} in {self.aspect}, got {self.target_scale}; the nearest range that one does is "
            f"({low:g}, {high:g}){with_aspect}"
        )

    def _no_room(self) -> str:
        ways = []
        sizes = self._sizes(sizes_inside)
        fewer = next((n for n in range(self.count - 1, 0, -1) if any(self._found(sizes, n))), 0)
        if fewer:
            ways.append(f"num_target_masks={fewer}")
        if share := self._smaller():
            ways.append(f"{self.scale_name}=({down(share):g}, {self.target_scale[1]:g})")
        ways.append("overlap='allow'")
        return (
            f"{self.scale_name}: {self.count} targets of {_percent(self.target_scale)} cannot be disjoint on a "
            f"{shown(self.grid)} grid, got {self.target_scale}; nearest to it, {' or '.join(ways)} is possible"
        )

    def _smaller(self) -> float:
        """The largest share from which on so many targets fit."""
        tokens = self.grid[0] * self.grid[1]
        sizes = [
            Size(h, w, 1.0)
            for h, w in all_sizes(self.grid)
            if is_inside(w / h, self.aspect) and h * w <= self.target_scale[1] * tokens
        ]
        for area in sorted({size.area for size in sizes}, reverse=True):
            enough = [size for size in sizes if size.area >= area]
            if area * self.count < tokens and any(self._found(enough, self.count)):
                return area / tokens
        return 0.0


def _in_a_corner(size: Size) -> Box:
    return 0, 0, size.height, size.width


def _percent(scale: Range) -> str:
    low, high = (f"{100 * end:.4g}" for end in scale)
    return f"{low} %" if low == high else f"{low}-{high} %"
