"""The sampler of I-JEPA's masks, and the law of I-JEPA's code."""

from typing import Any

import numpy as np
from maskkit import ConfigError
from maskkit_jepa import Blocks, MaskBatch, Sampler, first_success, fork, uniform
from maskkit_jepa import keys as sample_keys
from maskkit_jepa.blocks.bitsets import rectangle_words, unpack
from maskkit_jepa.randomness import coarse

from . import IJepa

_STEP_SIZES = 100
_COMPAT_SIZES, _COMPAT_CORNERS, _COMPAT_CONTEXTS = 101, 102, 103


class IJepaSampler(Sampler):
    """Draws context (B, N) and targets (B, T, N); the constructor takes the parameters of `IJepa`."""

    config_class = IJepa

    def prepare(self) -> None:
        self.reads_ahead = self.size_per == "sample"
        self.disjoint = not self.compat
        if self.compat:
            self.least_context = self.min_context + 1
        else:
            self.blocks = Blocks(self.config.plan())
            self.least_context = self.min_context
            self.least_target = min(size.area for size in self.blocks.plan.targets)

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch:
        size_keys = keys if self.size_per == "sample" else self._step_keys(step, len(keys))
        if self.compat:
            return self._draw_compat(keys, size_keys)
        return self.blocks.draw(keys, size_keys)

    def _step_keys(self, step: int | None, size: int) -> Any:
        """The key of a step, for each sample."""
        if step is None:
            raise ConfigError("size_per='step' needs the step: sample(ids, epoch, step=...), or at(step, batch_size)")
        return fork(sample_keys(self.seed, 0, [step]), _STEP_SIZES).repeat(size)

    # -- the law of I-JEPA's code ---------------------------------------------------------------------------------

    def _draw_compat(self, keys: Any, size_keys: Any) -> MaskBatch:
        count, tries = self.num_target_masks, self.max_attempts
        chances = uniform(fork(size_keys, _COMPAT_SIZES), 0, 2)
        targets = self._boxes(fork(keys, _COMPAT_CORNERS), 0, count, self._size(0, chances[:, :1]))
        words = self._words(targets)
        taken = np.zeros((len(keys), count + 1, words.shape[2]), np.uint64)  # by the first 0, 1, .. targets
        for i in range(count):
            np.bitwise_or(taken[:, i], words[:, i], out=taken[:, i + 1])
        context_sizes, context_keys = self._size(1, chances[:, 1:]), fork(keys, _COMPAT_CONTEXTS)

        def attempt(rows: Any, numbers: Any) -> tuple[Any, Any]:
            """After each `max_attempts` failures one target less is taken out of the context, the last one first."""
            context = self._words(self._boxes(context_keys[rows], numbers, 1, context_sizes[rows]))[:, 0]
            context &= ~taken[rows, count - numbers // tries]
            return context, np.bitwise_count(context) @ np.ones(context.shape[1]) > self.min_context

        def whole(rows: Any) -> Any:
            return attempt(rows, np.full(len(rows), count * tries))[0]

        context = first_success(len(keys), attempt, count * tries, whole, likely=True)
        tokens = self.grid[0] * self.grid[1]
        return MaskBatch(
            context=unpack(context, tokens),
            targets=unpack(words, tokens),
            grid=self.grid,
            sample_keys=keys,
            boxes=targets,
        )

    def _words(self, boxes: Any) -> Any:
        """Boxes (..., 4) as bitsets of tokens (..., words)."""
        return rectangle_words(self.grid, *np.moveaxis(boxes, -1, 0))

    def _size(self, which: int, chance: Any) -> Any:
        """Height and width (B, 1, 2) of targets or contexts: one number in [0, 1) decides both scale and aspect."""
        low, high = (self.target_scale, self.context_scale)[which]
        flat, steep = (self.aspect_ratio_range, (1.0, 1.0))[which]
        height, width = self.grid
        area = np.floor(height * width * (low + chance * (high - low)))
        aspect = flat + chance * (steep - flat)
        size = np.stack([np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))], axis=-1)
        return np.clip(size, 1, (height - 1, width - 1)).astype(np.int64)

    def _boxes(self, keys: Any, first: Any, count: int, size: Any) -> Any:
        """Boxes (B, count, 4) at random corners, of which the last row and the last column are left out."""
        extent = size.transpose(2, 1, 0)
        boxes = np.empty((4, count, len(keys)), np.int64)  # samples last, for speed
        boxes[:2] = coarse(keys, first, 2 * count).reshape(2, count, -1) * (np.array(self.grid)[:, None, None] - extent)
        boxes[2:] = extent
        return boxes.transpose(2, 1, 0)
