"""Masks with Keras: arrays and their masks in batches, as `Model.fit` takes them, on every backend.

from maskkit_jepa import MaskedPyDataset

model.fit(MaskedPyDataset(strategy, images, batch_size=64, workers=4), epochs=100)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from maskkit.errors import ConfigError
from maskkit.validators import is_integer
from maskkit_jepa.randomness import Ints


class MaskedPyDataset(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches `({"x": (B, ...), "context": (B, N), "targets": (B, T, N)}, y)`; without y a tuple of the inputs alone.

    A batch is a function of its position and the epoch, so threads and processes are safe, and give the same.
    `FollowEpoch` says which epoch it is; without it every `on_epoch_end` counts one on, but Keras calls that more often
    than once an epoch. Override `inputs` to hand over something else.

    Args:
        strategy: what draws the masks, from `maskkit.create`. Strategies with a schedule are given the step
            `epoch * len(self) + index`.
        x: the samples, along the first axis; whatever takes integer arrays in brackets.
        y: labels for `fit`, the same way; None gives none.
        batch_size: the last batch of an epoch may be smaller.
        shuffle: whether every epoch has an order of its own, a function of the strategy's seed and the epoch. (Besides,
            `fit` shuffles the batches, unless it is told not to; the masks of a sample do not change by that.)
        epoch: the epoch to begin with.
        advance: whether `on_epoch_end` counts on. False keeps masks and order, for validation.
        indices: the arguments of `MaskBatch.to_indices`, to get token numbers instead of booleans: the inputs are then
            "x", "context", "context_valid", "targets", "targets_valid", "restore". Give numbers as counts
            (`dict(count=50, target_count=36)`) where the backend compiles for static shapes.
        workers, use_multiprocessing, max_queue_size: as `keras.utils.PyDataset` takes them. Masks need no workers. With
            more than one, Keras (3.15) drops a batch that it looked at in order to build a model, its loss or its
            metrics, and every epoch of that `fit` ends one batch late.

    Raises:
        ConfigError: batch_size or epoch is no such integer, or x and y differ in length.
    """

    def __init__(
        self,
        strategy: Any,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        epoch: int = 0,
        advance: bool = True,
        indices: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for name, value, least in (("batch_size", batch_size, 1), ("epoch", epoch, 0)):
            if not is_integer(value) or value < least:
                raise ConfigError(f"{name} must be an integer, {least} or more, got {value!r}")
        if y is not None and len(x) != len(y):
            raise ConfigError(f"x and y must have one row for each sample, got {len(x)} and {len(y)}")
        self.strategy, self.x, self.y = strategy, x, y
        self.batch_size, self.shuffle = batch_size, shuffle
        self.epoch, self.advance = epoch, advance
        self.indices = None if indices is None else dict(indices)

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        ids = self.ids(index)
        masks = self.strategy.sample(ids, self.epoch, step=self.epoch * len(self) + index)
        inputs = self.inputs(ids, masks.numpy())
        return (inputs,) if self.y is None else (inputs, self.y[ids])

    def ids(self, index: int) -> Ints:
        """The numbers of the samples in a batch."""
        order = np.arange(len(self.x))
        if self.shuffle:
            order = np.random.default_rng([self.strategy.seed, self.epoch]).permutation(order)
        return order[index * self.batch_size : (index + 1) * self.batch_size]

    def inputs(self, ids: Ints, masks: Any) -> Any:
        """What the model is given for these samples and their masks, all as NumPy arrays."""
        return {"x": self.x[ids], **self._arrays(masks)}

    def _arrays(self, masks: Any) -> dict[str, Any]:
        """Arrays by name, of several groups by their names first."""
        if isinstance(masks, dict):
            return {name: self._arrays(batch) for name, batch in masks.items()}
        if self.indices is None:
            return dict(masks.items())
        return {name: _narrow(part) for name, part in masks.to_indices(**self.indices)._asdict().items()}

    def on_epoch_end(self) -> None:
        """Count on to the next epoch."""
        self.epoch += self.advance


class FollowEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells a `MaskedPyDataset` the epoch of `fit`, so that `initial_epoch` resumes with the masks of that epoch."""

    def __init__(self, data: MaskedPyDataset) -> None:
        super().__init__()
        self.data = data

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the epoch."""
        self.data.epoch = epoch


def _narrow(part: Any) -> Any:
    """Integers as int32: JAX has no others by default."""
    return part.astype(np.int32) if part.dtype.kind == "i" else part
