"""The sampler: imported when the first one is built."""

from typing import Any

import numpy as np
from maskkit_jepa import MaskBatch, Sampler, integers

from . import Halves


class HalvesSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N)."""

    config_class = Halves

    def prepare(self) -> None:
        """What all draws share, and what is promised of each."""
        height, width = self.grid
        self.half = np.tile(np.arange(width) < self.columns(), height)  # (N,): the left one
        self.least_context = self.least_target = int(self.half.sum())

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        """The masks of the samples with these keys, each row from its own."""
        height, width = self.grid
        right = self.half.reshape(height, width)[:, ::-1].ravel()
        is_left = integers(keys, 0, 1, 2) == 0  # (B, 1), from the first number of each key
        targets = np.where(is_left, self.half, right)
        context = np.where(is_left, right, self.half)
        return MaskBatch(context=context, targets=targets[:, None], grid=self.grid, sample_keys=keys)
