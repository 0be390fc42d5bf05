"""The sampler of SimMIM's masks."""

from typing import Any

import numpy as np
from maskkit_jepa import MaskBatch, Sampler, choose

from . import SimMim


class SimMimSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N); the constructor takes the parameters of `SimMim`."""

    config_class = SimMim

    def prepare(self) -> None:
        height, width = self.units
        side = self.unit_size // self.patch_size
        self.unit_of = (
            np.arange(height * width).reshape(height, width).repeat(side, axis=0).repeat(side, axis=1).ravel()
        )
        self.least_target = side * side * self.count()
        self.least_context = len(self.unit_of) - self.least_target

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        height, width = self.units
        masked = choose(keys, 0, self.count(), height * width).take(self.unit_of, axis=1)
        return MaskBatch(context=~masked, targets=masked[:, None], grid=self.grid, sample_keys=keys)
