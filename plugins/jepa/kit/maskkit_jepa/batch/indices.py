"""Masks as token numbers, for models that gather what they use; with equal counts that favour no part of the grid."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from maskkit.errors import ConfigError, did_you_mean
from maskkit_jepa.batch.drawn import Drawn
from maskkit_jepa.randomness import Bits, Bools, Ints, choose, fork

_TRIM = 0x7121  # the fork of the samples' keys that trimming draws from; target t uses the one after it, and so on
_COUNTS = ("max", "min", "exact")


class Indices(NamedTuple):
    """Token numbers, ascending; where a row has fewer than its array has columns, the rest is padding.

    Attributes:
        context: (B, K) token numbers; the prefix tokens, if any, come first.
        context_valid: (B, K) booleans, False on padding. Mask padding as keys, and leave it out of losses and means.
        targets: (B, T, K') token numbers.
        targets_valid: (B, T, K') booleans.
        restore: (B, N) where each token has gone: below K its column in `context`, else K + its rank among the tokens
            that are not in the context. `take_along(concatenate([encoded, mask_tokens]), restore)` is the whole grid
            again.
    """

    context: Any
    context_valid: Any
    targets: Any
    targets_valid: Any
    restore: Any


def to_indices(
    batch: Drawn,
    count: str | int = "max",
    target_count: str | int | None = None,
    trim: str = "random",
    num_prefix_tokens: int = 0,
    pad: int = 0,
) -> Indices:
    """The masks of a batch as token numbers, NumPy arrays.

    Args:
        batch: the masks.
        count: of context tokens: "max", the most of any sample, others padded; "min", the fewest, others trimmed;
            "exact", all samples must have the same number; or a number, to pad or trim to, which makes shapes static.
        target_count: the same for targets; None is `count`, or "max" where that is a number.
        trim: which tokens are given up where there are too many: "random" ones, drawn from the sample's key, so that no
            part of the grid is favoured; or those at the "end", as I-JEPA and V-JEPA do, which hides the bottom rows or
            the last frames from the model.
        num_prefix_tokens: tokens such as CLS and registers that stand before the grid: they are put first into the
            context, and all numbers are shifted by that many.
        pad: the token number on padding. 0 can be gathered like any other; -1 shows where padding is used by mistake.

    Raises:
        ConfigError: counts differ and `count` is "exact", or an argument is none of the above.
    """
    if trim not in ("random", "end"):
        raise ConfigError(f"trim must be 'random' or 'end', got {trim!r}")
    if num_prefix_tokens < 0:
        raise ConfigError(f"num_prefix_tokens must not be negative, got {num_prefix_tokens}")
    context, targets = batch.arrays
    size, many, tokens = batch.shape
    if target_count is None:
        target_count = "max" if isinstance(count, int) else count
    keys = np.repeat(batch.sample_keys, many) ^ np.tile(np.arange(1, many + 1, dtype=np.uint64), size)
    context = _trimmed(context, _limit("count", count, context), trim, batch.sample_keys)
    flat = targets.reshape(size * many, tokens)
    flat = _trimmed(flat, _limit("target_count", target_count, flat), trim, keys)
    prefixed = np.concatenate([np.ones((size, num_prefix_tokens), np.bool_), context], axis=1)
    width = count + num_prefix_tokens if isinstance(count, int) else 0
    context_index, context_valid = _numbers(prefixed, width, pad)
    target_index, target_valid = _numbers(flat, target_count if isinstance(target_count, int) else 0, pad)
    target_index[target_valid] += num_prefix_tokens
    return Indices(
        context_index,
        context_valid,
        target_index.reshape(size, many, -1),
        target_valid.reshape(size, many, -1),
        _restore(prefixed, context_index.shape[1]),
    )


def _limit(name: str, count: str | int, mask: Bools) -> int | None:
    """The most tokens that a row may keep; None if none has too many."""
    if isinstance(count, int) and not isinstance(count, bool):
        if not 0 < count <= mask.shape[1]:
            raise ConfigError(f"{name} must be between 1 and the {mask.shape[1]} tokens of the grid, got {count}")
        return count
    if count not in _COUNTS:
        hint = did_you_mean(str(count), _COUNTS)
        raise ConfigError(f"{name} must be 'max', 'min', 'exact' or a number of tokens, got {count!r}{hint}")
    if count == "max":
        return None
    counts = mask.sum(axis=1)
    least, most = int(counts.min()), int(counts.max())
    if count == "exact" and least != most:
        raise ConfigError(
            f"{name}='exact' needs equal counts, but the rows have {least} to {most} tokens; "
            f"use 'min' or a number to trim, or 'max' to pad"
        )
    return least


def _trimmed(mask: Bools, limit: int | None, trim: str, keys: Bits) -> Bools:
    """The mask with at most `limit` tokens a row."""
    if limit is None:
        return mask
    over = np.flatnonzero(mask.sum(axis=1) > limit)
    if not over.size:
        return mask
    mask = mask.copy()
    if trim == "end":
        mask[over] &= mask[over].cumsum(axis=1) <= limit
    else:
        mask[over] = choose(fork(keys[over], _TRIM), 0, limit, mask[over])
    return mask


def _numbers(mask: Bools, width: int, pad: int) -> tuple[Ints, Bools]:
    """The positions of True in each row, and which entries are no padding; at least `width` columns."""
    counts = mask.sum(axis=1)
    valid = np.arange(max(width, int(counts.max(initial=0)))) < counts[:, None]
    index = np.full(valid.shape, pad, np.int64)
    index[valid] = np.nonzero(mask)[1]
    return index, valid


def _restore(kept: Bools, columns: int) -> Ints:
    """For each token its place in `[kept, padding, the rest]`."""
    inside = kept.cumsum(axis=1) - 1
    outside = (~kept).cumsum(axis=1) - 1 + columns
    return np.where(kept, inside, outside)
