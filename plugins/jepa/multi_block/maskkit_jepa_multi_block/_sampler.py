"""The sampler of multi-block masks."""

from typing import Any

from maskkit_jepa import Blocks, MaskBatch, Sampler, mask_statistics
from maskkit_jepa.batch.pictures import overview

from . import MultiBlock


class MultiBlockMaskGenerator(Sampler):
    """Draws context (B, N) and targets (B, T, N); the constructor takes the parameters of `MultiBlock`."""

    config_class = MultiBlock

    def prepare(self) -> None:
        self.blocks = Blocks(self.config.plan())
        self.num_patches_h, self.num_patches_w = self.grid
        self.num_patches = self.num_patches_h * self.num_patches_w
        if self.overlap == "legacy":
            self.least_context = 0
        else:
            self.least_context = self.min_context

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        return self.blocks.draw(keys)

    def get_mask_statistics(self, context_mask: Any, target_masks: Any) -> dict[str, float]:
        """Coverage and overlap as floats: see `maskkit_jepa.mask_statistics`."""
        return mask_statistics(context_mask, target_masks)

    def visualize_masks(
        self,
        context_mask: Any,
        target_masks: Any,
        sample_idx: int = 0,
        figsize: tuple[float, float] = (12, 4),
        save_path: Any = None,
    ) -> Any:
        """A matplotlib figure of one sample: the context, the targets, and both; saved too if a path is given."""
        return overview(context_mask, target_masks, self.grid, sample_idx, figsize, save_path)
