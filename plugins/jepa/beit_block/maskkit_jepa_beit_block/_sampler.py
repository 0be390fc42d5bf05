"""The sampler of BEiT's masks."""

from typing import Any

import numpy as np
from maskkit_jepa import MaskBatch, Sampler

from . import BeitBlock


class BeitBlockSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N); the constructor takes the parameters of `BeitBlock`."""

    config_class = BeitBlock

    def prepare(self) -> None:
        height, width = self.grid
        self.law = self.blocks()
        self.least_target = self.count()
        self.least_context = height * width - self.least_target

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        masked = self.law.draw(keys, np.full(len(keys), self.least_target))
        return MaskBatch(context=~masked, targets=masked[:, None], grid=self.grid, sample_keys=keys)
