"""Parts of a pattern of spans: what depends on the distance alone, on the key alone; and spans of any mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit import Mask, Spans

Flags = npt.NDArray[np.bool_]

_ROWS = 256
"""Rows of a mask without spans that are looked at together."""
_MOST_RUNS = 64
"""Runs of distances that are still a pattern."""


def spans_of(mask: Mask) -> Spans:
    """The spans of a mask, of the rows of all its planes; of one without them from its booleans, a few rows at once."""
    *rows, keys = mask.shape
    index = np.ix_(*(np.arange(size) for size in rows)) if rows else ()
    found = mask.spans(*index)
    if found is not None:
        return found.within(keys, tuple(rows))
    if not rows:
        return Spans.from_bool(mask.allowed())
    parts = [
        Spans.from_bool(mask[..., start : start + _ROWS, :].allowed())
        if len(mask.axes) > 1
        else Spans.from_bool(mask.allowed())
        for start in range(0, rows[-1], _ROWS)
    ]
    return Spans.join(parts)


def count(spans: Spans) -> int:
    """How many pairs are allowed."""
    return int(spans.counts().sum())


def over_batch(spans: Spans) -> Spans:
    """What any sample allows, of the rows of one."""
    return Spans.union([Spans(spans.lo[:, i], spans.hi[:, i], spans.limit) for i in range(spans.shape[0])])


def widened(spans: Spans, shape: tuple[int, ...]) -> Spans:
    """The same for every sample."""
    if spans.shape == shape:
        return spans
    lo, hi = (
        np.broadcast_to(
            ends.reshape(len(spans), *(1,) * (len(shape) + 1 - ends.ndim), *ends.shape[1:]), (len(spans), *shape)
        )
        for ends in (spans.lo, spans.hi)
    )
    return Spans(np.ascontiguousarray(lo), np.ascontiguousarray(hi), spans.limit)


def along_diagonals(spans: Spans) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For every distance k - q, from -(rows - 1) to keys - 1: how many pairs are allowed, and how many there are."""
    rows, keys = spans.shape[-1], spans.limit
    q, size = np.arange(rows), rows + keys
    begins, ends = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for lo, hi in spans:
        some = lo < hi
        begins += np.bincount((lo - q + rows - 1)[some], minlength=size)
        ends += np.bincount((hi - q + rows - 1)[some], minlength=size)
    distance = np.arange(-(rows - 1), keys)
    whole = np.minimum(rows, keys - distance) - np.maximum(0, -distance)
    samples = int(np.prod(spans.shape[:-1]))
    return np.cumsum(begins - ends)[:-1], whole * samples


def of_distances(flags: Flags, rows: int, keys: int) -> Spans | None:
    """The pairs at some distances (as `along_diagonals` numbers them); None where they are too many apart."""
    edges = np.diff(flags.astype(np.int8), prepend=0, append=0)
    first, behind = np.flatnonzero(edges == 1) - (rows - 1), np.flatnonzero(edges == -1) - (rows - 1)
    if not len(first):
        return Spans.nothing((rows,), keys)
    if len(first) > _MOST_RUNS:
        return None
    q = np.arange(rows)
    return Spans.intervals(np.add.outer(first, q), np.add.outer(behind, q)).within(keys)


def down_columns(spans: Spans) -> npt.NDArray[np.int64]:
    """For every key of every sample how many rows see it, (*samples, keys)."""
    *samples, _ = spans.shape
    found = np.zeros((int(np.prod(samples)), spans.limit), np.int64)
    lo, hi = (ends.reshape(len(spans), len(found), -1) for ends in (spans.lo, spans.hi))
    for i, total in enumerate(found):
        edges = np.bincount(lo[:, i].ravel(), minlength=spans.limit + 1)
        total[:] = np.cumsum(edges - np.bincount(hi[:, i].ravel(), minlength=spans.limit + 1))[:-1]
    return found.reshape(*samples, spans.limit)


def of_keys(flags: Flags, rows: int) -> Spans:
    """The same keys for every row; flags (*samples, keys)."""
    one = Spans.from_bool(flags)
    lo, hi = (np.repeat(ends[..., None], rows, axis=-1) for ends in (one.lo, one.hi))
    return Spans(lo, hi, one.limit)


def differing(one: Spans, other: Spans) -> Any:
    """How many pairs of each row are allowed by one alone, (*samples, rows)."""
    return (one ^ other).counts()
