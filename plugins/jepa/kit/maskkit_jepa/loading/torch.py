"""Masks with Torch's `DataLoader`: made where the batch is made, the same under any number of workers.

from maskkit_jepa import MaskCollator, Numbered

collate = MaskCollator(strategy)
loader = DataLoader(Numbered(dataset), batch_size=64, shuffle=True, num_workers=4, collate_fn=collate)
for epoch in range(100):
    collate.set_epoch(epoch)
    for batch, masks in loader:
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from maskkit.errors import ConfigError
from maskkit.validators import is_integer
from maskkit_jepa.batch.batch import MaskBatch
from maskkit_jepa.batch.indices import to_indices

STYLES = ("masks", "ijepa")


class Numbered:
    """A map-style dataset whose samples come with their numbers: `numbered[i]` is `(i, dataset[i])`."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> tuple[int, Any]:
        return number, self.dataset[number]

    def __getitems__(self, numbers: Sequence[int]) -> list[tuple[int, Any]]:
        """A batch at once, for datasets that can."""
        fetch = getattr(self.dataset, "__getitems__", None)
        samples = fetch(numbers) if fetch else [self.dataset[number] for number in numbers]
        return list(zip(numbers, samples, strict=True))


class MaskCollator:
    """A `collate_fn` that adds to a batch the masks of its samples.

    The samples are pairs `(number, sample)`; a map-style dataset gets its numbers from `Numbered`, an iterable one
    yields the pairs itself. The masks are those of `strategy.sample(numbers, epoch)`, so workers, ranks and the order
    change nothing, and neither does where an epoch is resumed.

    With `style="masks"` it gives `(batch, masks)`: what `collate` makes of the samples, and a `MaskBatch` (or
    `MaskGroups`, where the strategy draws those). With `style="ijepa"` it gives `(batch, masks_enc, masks_pred)` as
    the training loops of I-JEPA and V-JEPA take it: lists of token numbers, one tensor (B, K) for the context and one
    (B, K') for each of the T targets; `maskkit_jepa.index_lists` makes them.

    Args:
        strategy: what draws the masks, from `maskkit.create`.
        style: "masks" or "ijepa".
        epoch: the epoch to begin with.
        steps_per_epoch: for strategies with a schedule: a worker does not know the step of the batch it makes, so the
            schedule moves on at each epoch, to step `epoch * steps_per_epoch`.
        collate: what puts the samples together; None is `torch.utils.data.default_collate`.
        lists: with style="ijepa" the arguments of `index_lists`, such as `dict(count=40, target_count=30)`; the default
            is the smallest count in the batch.

    Raises:
        ConfigError: for another style; and when a batch's samples have no numbers.
    """

    def __init__(
        self,
        strategy: Any,
        style: str = "masks",
        epoch: int = 0,
        steps_per_epoch: int | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        lists: Mapping[str, Any] | None = None,
    ) -> None:
        import torch

        if style not in STYLES:
            raise ConfigError(f"style must be one of {', '.join(map(repr, STYLES))}, got {style!r}")
        if lists and style != "ijepa":
            raise ConfigError(f"lists is for style='ijepa', got it with style={style!r}")
        self.strategy = strategy
        self.style = style
        self.steps_per_epoch = steps_per_epoch
        self.collate = collate or torch.utils.data.default_collate
        self.lists = dict(lists or {})
        # In shared memory, so that workers which live on from epoch to epoch see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.set_epoch(epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose masks are drawn."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw the masks of this epoch from the next `iter(loader)` on; workers that already run are told too."""
        if not is_integer(epoch) or epoch < 0:
            raise ConfigError(f"epoch must be an integer, 0 or more, got {epoch!r}")
        self._epoch.fill_(int(epoch))

    def __call__(self, samples: list[Any]) -> tuple[Any, ...]:
        """The batch of these pairs, and their masks."""
        numbers, rest = _apart(samples)
        epoch = self.epoch
        step = None if self.steps_per_epoch is None else epoch * self.steps_per_epoch
        masks = self.strategy.sample(numbers, epoch, step=step)
        batch = self.collate(rest)
        return (batch, masks) if self.style == "masks" else (batch, *index_lists(masks, **self.lists))


def _apart(samples: list[Any]) -> tuple[list[int], list[Any]]:
    """The numbers, and the samples."""
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 and is_integer(pair[0]) for pair in samples):
        raise ConfigError(
            "samples must come as (number, sample), so that each gets its own masks; "
            "wrap the dataset: DataLoader(maskkit_jepa.Numbered(dataset), ...)"
        )
    return [int(number) for number, _ in samples], [sample for _, sample in samples]


def index_lists(
    masks: Any, count: str | int = "min", target_count: str | int | None = None, trim: str = "random"
) -> tuple[list[Any], list[Any]]:
    """Masks as lists of token numbers without padding: `[(B, K)]` for the context, and `(B, K')` for each target.

    This is what I-JEPA's and V-JEPA's `apply_masks` gather by. Several groups of masks follow each other in both lists.

    Args:
        masks: a `MaskBatch`, or `MaskGroups`.
        count: of context tokens, as in `MaskBatch.to_indices`: "min", "exact", "max" where all counts agree, or a
            number that every context has.
        target_count: the same for the targets; None is `count`, or "min" where that is a number.
        trim: which tokens are given up: "random" ones, or those at the "end".

    Raises:
        ConfigError: some context or target has fewer tokens than asked for.
    """
    if isinstance(masks, dict):
        contexts, targets = zip(
            *(index_lists(batch, count, target_count, trim) for batch in masks.values()), strict=True
        )
        return [*chain(*contexts)], [*chain(*targets)]
    target_count = "min" if target_count is None and isinstance(count, int) else target_count
    index = to_indices(masks, count, target_count, trim)  # on the host, where padding is looked for
    for name, asked, part, valid in zip(
        ("count", "target_count"),
        (count, target_count),
        masks.arrays,
        (index.context_valid, index.targets_valid),
        strict=True,
    ):
        if not np.all(valid):
            least = int(part.sum(axis=-1).min())
            raise ConfigError(
                f"{name}={asked!r} would need padding, which these lists cannot hold: the fewest tokens are {least}; "
                f"use 'min', or a number up to {least}, or masks.to_indices, which says what is padding"
            )
    return [masks.given(index.context)], [masks.given(index.targets[:, t]) for t in range(masks.shape[1])]


def one_batch(masks: Any) -> MaskBatch:
    """The masks, if they are of one group."""
    if isinstance(masks, MaskBatch):
        return masks
    names = ", ".join(map(repr, masks))
    raise ConfigError(f"masks come in groups here ({names}); take one of them, such as masks[{next(iter(masks))!r}]")
