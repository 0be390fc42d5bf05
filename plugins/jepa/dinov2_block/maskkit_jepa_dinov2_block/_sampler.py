"""The sampler of DINOv2's masks."""

from typing import Any

import numpy as np
from maskkit_jepa import MaskBatch, Sampler, evenly

from . import Dinov2Block


class Dinov2BlockSampler(Sampler):
    """Draws context (B, N), targets (B, 1, N) and `weights` (B, N), 1 / count on the masked patches of an image.

    The constructor takes the parameters of `Dinov2Block`.
    """

    config_class = Dinov2Block

    def prepare(self) -> None:
        self.law = self.blocks()
        least, most = self.counts()
        self.least_target = least if self.image_share == 1 else 0
        self.least_context = self.tokens - most

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        counts = self._counts(evenly(keys))
        masked = self.law.draw(keys, counts)
        weights = masked / np.maximum(counts, 1)[:, None].astype(np.float32)
        return MaskBatch(
            context=~masked,
            targets=masked[:, None],
            grid=self.grid,
            sample_keys=keys,
            extra={"weights": weights.astype(np.float32, copy=False)},
        )

    def _counts(self, spread: Any) -> Any:
        """The masked patches of each image, by its number in [0, 1)."""
        low, high = self.ratio
        counts = ((low + (high - low) * spread / self.image_share) * self.tokens).astype(np.int64)  # rounded down
        return np.where(spread < self.image_share, counts, 0)
