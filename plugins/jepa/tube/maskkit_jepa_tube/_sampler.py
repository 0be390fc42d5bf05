"""The sampler of tubes."""

from typing import Any

import numpy as np
from maskkit_jepa import MaskBatch, Sampler, choose

from . import Tube


class TubeSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N)."""

    config_class = Tube

    def prepare(self) -> None:
        slots, height, width = self.grid
        self.least_target = slots * self.count()
        self.least_context = slots * height * width - self.least_target

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        slots, height, width = self.grid
        chosen = choose(keys, 0, self.count(), height * width)
        targets, context = (np.tile(cells, slots) for cells in (chosen, ~chosen))
        return MaskBatch(context=context, targets=targets[:, None], grid=self.grid, sample_keys=keys)
