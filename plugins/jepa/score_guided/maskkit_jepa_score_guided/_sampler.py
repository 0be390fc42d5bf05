"""The sampler of score-guided masks."""

from typing import Any

import numpy as np
from maskkit import ConfigError
from maskkit_jepa import MaskBatch, Sampler, choose, fork, shuffle, uniform

from . import ScoreGuided

_FORK_RATIO, _FORK_TIES, _FORK_NOISE, _FORK_HINT, _FORK_MIX = range(5)


class ScoreGuidedSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N), given scores (B, N)."""

    config_class = ScoreGuided
    takes = ("scores",)

    def prepare(self) -> None:
        self.least_target, most = self.counts()
        self.least_context = self.tokens - most

    def draw(self, keys: Any, step: int | None = None, scores: Any = None) -> MaskBatch:
        order = self._order(keys, self._checked(scores))
        count = self._count(keys)
        mixed = np.rint(self.mix * count).astype(np.int64)
        free = np.ones(order.shape, np.bool_)  # in the order of the selection, as all below
        if self.hints():
            free[:, : self.first()] = ~choose(fork(keys, _FORK_HINT), 0, self.hints(), self.first())
        masked = free & (free.cumsum(axis=1) <= (count - mixed)[:, None])
        if self.mix:
            masked |= choose(fork(keys, _FORK_MIX), 0, mixed, free & ~masked)
        targets = np.empty_like(masked)
        np.put_along_axis(targets, order, masked, axis=1)
        return MaskBatch(context=~targets, targets=targets[:, None], grid=self.grid, sample_keys=keys)

    def example(self, size: int) -> dict[str, Any]:
        """A blob somewhere on each image, in a few steps, so that there are equal scores too."""
        height, width = self.grid
        y, x = np.indices((height, width)).reshape(2, 1, -1)
        top = (np.arange(size)[:, None] * 5 + height // 3) % height
        left = (np.arange(size)[:, None] * 3 + width // 2) % width
        return {"scores": np.round(8 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / (height * width / 8))) / 8}

    def _checked(self, scores: Any) -> Any:
        """Scores (B, N) as float64."""
        if scores is None:
            raise ConfigError(
                f"score_guided needs scores with each call, (B, {self.tokens}): strategy(batch_size, scores=...)"
            )
        if scores.ndim != 2 or scores.shape[1] != self.tokens or scores.dtype.kind not in "fiu":
            height, width = self.grid
            raise ConfigError(
                f"scores must be numbers (B, {self.tokens}), one for each of {height} x {width} patches, got shape "
                f"{scores.shape} and dtype {scores.dtype}"
            )
        scores = scores.astype(np.float64)
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
            raise ConfigError(f"scores must be finite, got {scores[row][~np.isfinite(scores[row])][0]} in row {row}")
        return scores

    def _order(self, keys: Any, scores: Any) -> Any:
        """The tokens in the order in which they are selected: (B, N); equal scores in random order."""
        if self.select == "gumbel":
            chance = uniform(fork(keys, _FORK_NOISE), 0, self.tokens) + 2.0**-53  # never 0
            scores = scores / self.temperature - np.log(-np.log(chance))
        order = shuffle(fork(keys, _FORK_TIES), 0, self.tokens)
        shuffled = np.take_along_axis(scores if self.select == "bottom" else -scores, order, axis=1)
        return np.take_along_axis(order, np.argsort(shuffled, axis=1, kind="stable"), axis=1)

    def _count(self, keys: Any) -> Any:
        """The tokens that are masked of each image: (B,)."""
        if not isinstance(self.ratio, (tuple, list)):
            return np.full(len(keys), self.least_target)
        low, high = self.ratio
        share = low + (high - low) * uniform(fork(keys, _FORK_RATIO), 0, 1)[:, 0]
        return np.floor(share * self.tokens + 0.5).astype(np.int64)
