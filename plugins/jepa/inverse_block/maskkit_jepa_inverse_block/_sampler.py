"""The sampler of inverse blocks."""

from typing import Any

import numpy as np
from maskkit_jepa import MaskBatch, MaskGroups, Sampler, choose_rather, fork, integers

from . import InverseBlock

_FORK_CENTRES, _FORK_REPAIR = 1000, 1001


class InverseBlockSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N), of several views a mapping of them.

    The constructor takes the parameters of `InverseBlock`.
    """

    config_class = InverseBlock

    def prepare(self) -> None:
        height, width = self.grid
        self.least_context = self.kept()
        self.least_target = height * width - self.least_context

    def draw(self, keys: Any, step: int | None = None) -> MaskBatch | MaskGroups:
        if self.num_views == 1:
            return self._view(keys)
        return MaskGroups({f"view_{i}": self._view(fork(keys, i)) for i in range(self.num_views)})

    def _view(self, keys: Any) -> MaskBatch:
        height, width = self.grid
        centres = integers(fork(keys, _FORK_CENTRES), 0, self.blocks(), height * width)
        kept = np.zeros((len(keys), height * width), np.bool_)
        kept[np.arange(len(keys))[:, None], centres] = True
        planes = kept.reshape(-1, height, width)
        for axis in (1, 2):
            planes = _widened(planes, self.block_size, axis)
        kept = choose_rather(fork(keys, _FORK_REPAIR), 0, self.least_context, planes.reshape(kept.shape))
        return MaskBatch(context=kept, targets=~kept[:, None], grid=self.grid, sample_keys=keys)


def _widened(planes: Any, size: int, axis: int) -> Any:
    """Each True as `size` of them along an axis, around it: one more before it than after it where that is even."""
    length, moved = planes.shape[axis], planes.swapaxes(0, axis)
    wide = moved.copy()
    for shift in range(1, size // 2 + 1):
        wide[: length - shift] |= moved[shift:]
    for shift in range(1, (size - 1) // 2 + 1):
        wide[shift:] |= moved[: length - shift]
    return wide.swapaxes(0, axis)
