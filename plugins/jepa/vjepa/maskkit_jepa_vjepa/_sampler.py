"""The sampler of V-JEPA masks."""

from typing import Any

import numpy as np
from maskkit_jepa import MaskBatch, MaskGroups, Sampler, VideoBlocks, choose, fork

from . import VideoMask, VJepa

_FORK_KEEP = 1


class VJepaSampler(Sampler):
    """Draws a mapping of labels to context (B, N) and targets (B, 1, N)."""

    config_class = VJepa

    def prepare(self) -> None:
        self.blocks = [VideoBlocks(request) for request in self.config.requests()]
        slots, height, width = self.grid
        self._cells = slots, height * width
        self.least_context = self.min_context
        self.least_target = min(
            1 if mask.inv_block else blocks.request.least_block
            for mask, blocks in zip(self.masks, self.blocks, strict=True)
        )

    def draw(self, keys: Any, step: int | None = None) -> MaskGroups:
        # All in one array: one large piece of memory is reused from call to call, many are fetched anew each time.
        drawn = np.empty((len(self.masks), 2, len(keys), *self._cells), np.bool_)
        return MaskGroups(
            {mask.label: self._masks(i, mask, fork(keys, i), *drawn[i]) for i, mask in enumerate(self.masks)}
        )

    def _masks(self, i: int, mask: VideoMask, keys: Any, context: Any, targets: Any) -> MaskBatch:
        self.blocks[i].draw(keys, context, targets)
        if mask.inv_block:
            context, targets = targets, context
        context, targets = context.reshape(len(keys), -1), targets.reshape(len(keys), 1, -1)
        if mask.max_keep is not None:
            context[:] = choose(fork(keys, _FORK_KEEP), 0, mask.max_keep, context)
            if mask.full_complement:
                np.logical_not(context, out=targets[:, 0])
        return MaskBatch(context=context, targets=targets, grid=self.grid, sample_keys=keys)
