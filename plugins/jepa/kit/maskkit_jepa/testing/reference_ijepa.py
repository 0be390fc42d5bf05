"""I-JEPA's laws as plain loops, a sample at a time: what tests hold the sampler to, and benchmarks compare with.

Slow on purpose, and written in Torch as I-JEPA's own collator is, without the tables of `blocks/placements.py`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from maskkit_jepa.blocks.plans import BlockRequest
from maskkit_jepa.blocks.sizes import Range, is_inside


def ijepa_sample(generator: torch.Generator, asked: BlockRequest) -> tuple[Any, Any]:
    """Context (H, W) and targets (T, H, W): blocks of one size, and a square less the blocks that keeps enough."""
    H, W = asked.grid
    while True:
        aspect = _between(generator, asked.aspect)
        w = round(math.sqrt(_between(generator, asked.target_scale) * H * W / aspect))
        h = round(w * aspect)
        if w and is_inside(h * w / (H * W), asked.target_scale) and is_inside(h / w, asked.aspect):
            break
    targets = torch.stack([_block(generator, asked, h, w, 1) for _ in range(asked.count)])
    while True:
        side = round(math.sqrt(_between(generator, asked.context_scale) * H * W))
        if side <= min(H, W) and is_inside(side * side / (H * W), asked.context_scale):
            context = _block(generator, asked, side, side, 1)
            for target in targets:
                context &= ~target
            if context.sum() >= asked.min_context:
                return context, targets


def ijepa_compat_sample(generator: torch.Generator, asked: BlockRequest) -> tuple[Any, Any]:
    """The law of I-JEPA's code: scale and aspect from one number, corners one short, fewer exclusions in need."""
    h, w = _tied_size(generator, asked, asked.target_scale, asked.aspect)
    targets = torch.stack([_block(generator, asked, h, w, 0) for _ in range(asked.count)])
    h, w = _tied_size(generator, asked, asked.context_scale, (1.0, 1.0))
    failures = 0
    while True:
        context = _block(generator, asked, h, w, 0)
        for target in targets[: max(asked.count - failures // asked.max_attempts, 0)]:
            context &= ~target
        if context.sum() > asked.min_context:
            return context, targets
        failures += 1


def _tied_size(generator: torch.Generator, asked: BlockRequest, scale: Range, aspect: Range) -> tuple[int, int]:
    u = torch.rand(1, generator=generator).item()
    area = int(asked.grid[0] * asked.grid[1] * (scale[0] + u * (scale[1] - scale[0])))
    ratio = aspect[0] + u * (aspect[1] - aspect[0])
    h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    return min(max(h, 1), asked.grid[0] - 1), min(max(w, 1), asked.grid[1] - 1)


def _block(generator: torch.Generator, asked: BlockRequest, h: int, w: int, last: int) -> Any:
    """A block at a random corner; the last corner of each axis counts if `last` is 1."""
    H, W = asked.grid
    y, x = (int(torch.randint(most + last, (1,), generator=generator)) for most in (H - h, W - w))
    block = torch.zeros(asked.grid, dtype=torch.bool)
    block[y : y + h, x : x + w] = True
    return block


def _between(generator: torch.Generator, bounds: Range) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * float(torch.rand(1, generator=generator))
