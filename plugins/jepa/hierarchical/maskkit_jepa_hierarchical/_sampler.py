"""The sampler of hierarchical masks."""

import warnings
from collections.abc import Mapping
from typing import Any

from maskkit_jepa import Blocks, MaskGroups, Sampler, fork, mask_statistics

from . import Hierarchical
from ._pictures import level_overlays, level_panels


class HierarchicalMaskGenerator(Sampler):
    """Draws a mapping `level_0 ..` to context (B, N) and targets (B, T, N).

    The constructor takes the parameters of `Hierarchical`.
    """

    config_class = Hierarchical

    def __init__(self, config: Hierarchical | None = None, /, **params: Any) -> None:
        super().__init__(config, **params)
        overlapping = [i for i, blocks in enumerate(self.levels) if blocks.plan.overlap != self.overlap]
        if overlapping and self.crowded == "overlap":
            warnings.warn(self._says_so(overlapping), stacklevel=2)

    def prepare(self) -> None:
        self.levels = [Blocks(plan) for plan in self.config.plans()]
        self.num_patches_h, self.num_patches_w = self.grid
        self.num_patches = self.num_patches_h * self.num_patches_w
        legacy = any(blocks.plan.overlap == "legacy" for blocks in self.levels)
        self.least_context = 0 if legacy else self.min_context

    def draw(self, keys: Any, step: int | None = None) -> MaskGroups:
        return MaskGroups({f"level_{i}": blocks.draw(fork(keys, i)) for i, blocks in enumerate(self.levels)})

    def _says_so(self, levels: list[int]) -> str:
        asked = ", ".join(
            f"level {i} ({100 * low:.3g}-{100 * high:.3g} %)"
            for i in levels
            for low, high in [self.config.request(i).target_scale]
        )
        return (
            f"hierarchical: {self.num_target_masks} disjoint targets do not fit on {asked}, where targets may overlap "
            f"each other now; crowded='clip' lowers the sizes instead, overlap='allow' accepts it without this warning"
        )

    def get_hierarchical_statistics(self, masks: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        """Coverage and overlap of each level, as floats: see `maskkit_jepa.mask_statistics`."""
        return {name: mask_statistics(level["context"], level["targets"]) for name, level in masks.items()}

    def visualize_hierarchical_masks(
        self,
        masks: Mapping[str, Any],
        sample_idx: int = 0,
        figsize: tuple[float, float] = (15, 10),
        save_path: Any = None,
    ) -> Any:
        """A matplotlib figure of one sample: a column for each level, contexts above, targets below."""
        return level_panels(masks, self.grid, sample_idx, figsize, save_path)

    def visualize_combined_view(
        self,
        masks: Mapping[str, Any],
        sample_idx: int = 0,
        figsize: tuple[float, float] = (15, 5),
        save_path: Any = None,
    ) -> Any:
        """A matplotlib figure of one sample: context and targets of each level in one picture."""
        return level_overlays(masks, self.grid, sample_idx, figsize, save_path)
