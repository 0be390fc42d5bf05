"""The sampler of random patches."""

from typing import Any

from maskkit_jepa import MaskBatch, Sampler, choose

from . import RandomPatch


class RandomPatchSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N); the constructor takes the parameters of `RandomPatch`."""

    config_class = RandomPatch

    def prepare(self) -> None:
        height, width = self.grid
        self.least_target = self.count()
        self.least_context = height * width - self.least_target

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        height, width = self.grid
        masked = choose(keys, 0, self.count(), height * width)
        return MaskBatch(context=~masked, targets=masked[:, None], grid=self.grid, sample_keys=keys)
