"""The laws of blocks as plain loops, a sample at a time: what tests hold the samplers to, and benchmarks compare with.

Slow on purpose, and written without the tables of `blocks/placements.py`: sizes are drawn and rounded, corners are
drawn, and what does not fit is drawn again.
"""

from __future__ import annotations

import numpy as np
from maskkit_jepa.blocks.plans import BlockRequest
from maskkit_jepa.blocks.sizes import Range, is_inside
from maskkit_jepa.randomness import Bools

Sample = tuple[Bools, Bools]
"""Context (H, W) and targets (T, H, W)."""


def legacy_sample(rng: np.random.Generator, asked: BlockRequest) -> Sample:
    """H-JEPA's law: a target that finds no free place in `max_attempts` tries is a fixed block, set down blindly."""
    occupied = np.zeros(asked.grid, np.bool_)
    targets = np.zeros((asked.count, *asked.grid), np.bool_)
    for target in targets:
        for _ in range(asked.max_attempts):
            y, x, h, w = _block(rng, asked, asked.target_scale)
            if not occupied[y : y + h, x : x + w].any():
                break
        else:
            y, x, h, w = _corner(rng, asked.grid, *asked.blind)
        target[y : y + h, x : x + w] = occupied[y : y + h, x : x + w] = True
    y, x, h, w = _block(rng, asked, asked.context_scale)
    context = np.zeros(asked.grid, np.bool_)
    context[y : y + h, x : x + w] = True
    return context & ~occupied, targets


def disjoint_sample(rng: np.random.Generator, asked: BlockRequest, patience: int = 200) -> Sample:
    """The law of disjoint targets; after `patience` tries, a sample starts over if there is no place at all."""
    targets = None
    while targets is None:
        targets = _disjoint_targets(rng, asked, patience)
    context = None
    while context is None:
        context = _context(rng, asked, np.any(targets, axis=0), patience)
    return context, targets


def allow_sample(rng: np.random.Generator, asked: BlockRequest, patience: int = 200) -> Sample:
    """The law of targets that may overlap; after `patience` contexts that keep too little, a sample starts over."""
    while True:
        targets = np.zeros((asked.count, *asked.grid), np.bool_)
        for target in targets:
            y, x, h, w = _inside_block(rng, asked)
            target[y : y + h, x : x + w] = True
        context = _context(rng, asked, np.any(targets, axis=0), patience)
        if context is not None:
            return context, targets


def _context(rng: np.random.Generator, asked: BlockRequest, occupied: Bools, patience: int) -> Bools | None:
    """A context block less what is occupied, of an area and an aspect in their ranges, that keeps enough."""
    for _ in range(patience):
        y, x, h, w = _block(rng, asked, asked.context_scale)
        if is_inside(h * w / occupied.size, asked.context_scale) and is_inside(w / h, asked.aspect):
            context = np.zeros(asked.grid, np.bool_)
            context[y : y + h, x : x + w] = True
            context &= ~occupied
            if context.sum() >= asked.min_context:
                return context
    return None


def _disjoint_targets(rng: np.random.Generator, asked: BlockRequest, patience: int) -> Bools | None:
    occupied = np.zeros(asked.grid, np.bool_)
    targets = np.zeros((asked.count, *asked.grid), np.bool_)
    for target in targets:
        tries = 0
        while True:
            y, x, h, w = _block(rng, asked, asked.target_scale)
            if _is_inside(h, w, asked) and not occupied[y : y + h, x : x + w].any():
                break
            tries += 1
            if tries == patience and not _any_place(occupied, asked):
                return None
        target[y : y + h, x : x + w] = occupied[y : y + h, x : x + w] = True
    return targets[rng.permutation(asked.count)]


def _any_place(occupied: Bools, asked: BlockRequest) -> bool:
    H, W = asked.grid
    return any(
        not occupied[y : y + h, x : x + w].any()
        for h in range(1, H + 1)
        for w in range(1, W + 1)
        if is_inside(h * w / occupied.size, asked.target_scale) and is_inside(w / h, asked.aspect)
        for y in range(H - h + 1)
        for x in range(W - w + 1)
    )


def _inside_block(rng: np.random.Generator, asked: BlockRequest) -> tuple[int, int, int, int]:
    while True:
        y, x, h, w = _block(rng, asked, asked.target_scale)
        if _is_inside(h, w, asked):
            return y, x, h, w


def _is_inside(h: int, w: int, asked: BlockRequest) -> bool:
    share = h * w / (asked.grid[0] * asked.grid[1])
    return is_inside(share, asked.target_scale) and is_inside(w / h, asked.aspect)


def _block(rng: np.random.Generator, asked: BlockRequest, scale: Range) -> tuple[int, int, int, int]:
    H, W = asked.grid
    aspect = rng.uniform(*asked.aspect)
    h = round(np.sqrt(rng.uniform(*scale) * H * W / aspect))
    w = round(h * aspect)
    return _corner(rng, asked.grid, min(max(h, 1), H), min(max(w, 1), W))


def _corner(rng: np.random.Generator, grid: tuple[int, int], h: int, w: int) -> tuple[int, int, int, int]:
    return int(rng.integers(grid[0] - h + 1)), int(rng.integers(grid[1] - w + 1)), h, w
