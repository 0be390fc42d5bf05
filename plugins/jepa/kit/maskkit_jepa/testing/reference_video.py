"""The law of video blocks as a plain loop, a sample at a time: what tests hold the sampler to, and benchmarks compare.

Slow on purpose, and written in Torch as V-JEPA's own collator is, without the tables of `blocks/video.py`: a size is
drawn and rounded, blocks are set down on the grid one by one, and if they leave too little they are drawn again.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from maskkit_jepa.blocks.sizes import Range
from maskkit_jepa.blocks.video import VideoRequest, rectangle


def video_sample(generator: torch.Generator, asked: VideoRequest) -> tuple[Any, Any]:
    """Context and targets of a sample: Torch booleans (T, H, W) each."""
    T, H, W = asked.grid
    area = max(math.floor(_between(generator, asked.spatial_scale) * H * W + 0.5), 1)
    h, w = rectangle(area, _between(generator, asked.aspect), (H, W))
    t = min(max(round(_between(generator, asked.temporal_scale) * T), 1), T)
    for _ in range(asked.max_attempts):
        targets = torch.zeros(asked.grid, dtype=torch.bool)
        for _ in range(asked.count):
            start, top, left = (_below(generator, count) for count in (T - t + 1, H - h + 1, W - w + 1))
            targets[start : start + t, top : top + h, left : left + w] = True
        targets[asked.slots :] = True
        context = ~targets
        if context.sum() >= asked.min_rest:
            return context, targets
    raise AssertionError(f"{asked.count} blocks left too little {asked.max_attempts} times")


def _between(generator: torch.Generator, bounds: Range) -> float:
    chance = float(torch.rand(1, generator=generator).item())
    return bounds[0] + (bounds[1] - bounds[0]) * chance


def _below(generator: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (1,), generator=generator).item())
