"""Runs: masks as lengths of runs, blocked and allowed in turn."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from maskkit import ConfigError, Mask, from_array, hookimpl, limits, plane_spans


class Runs:
    """Lengths of runs over all positions, blocked first: with order "column" the run lengths of COCO."""

    name = "runs"

    def export(self, mask: Mask, order: str = "row") -> dict[str, Any]:
        """`size`, the mask's shape, and `counts`, row by row or (of two axes) column by column."""
        edges = _edges(mask) if order == "row" else None
        if edges is None:
            allowed = mask.allowed(dtype="bool")
            flat = (_transposed(allowed, order) if order != "row" else allowed).ravel()
            edges = np.flatnonzero(np.diff(flat, prepend=False))
        return {"size": list(mask.shape), "counts": np.diff(edges, prepend=0, append=prod(mask.shape)).tolist()}

    def read(self, value: dict[str, Any], order: str = "row", axes: Sequence[str] | None = None) -> Mask:
        """The mask of such runs; `axes` as of `maskkit.from_array`."""
        size, counts = tuple(value["size"]), np.asarray(value["counts"], np.int64)
        limits.check_dense("mask of runs", size, 1)
        if (counts < 0).any() or counts.sum() != np.prod(size, dtype=object):
            raise ConfigError(
                f"counts must add up to the {np.prod(size, dtype=object)} positions of size, got {counts.sum()}"
            )
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        allowed = flat.reshape(size) if order == "row" else _transposed(flat.reshape(size[::-1]), order)
        return from_array(allowed, true="allowed", axes=axes)


def _edges(mask: Mask) -> Any:
    """Where runs of a mask of queries by keys begin and end in turn, row by row, from its spans; None without any."""
    found = plane_spans(mask) if mask.axes == ("query", "key") else None
    if found is None:
        return None
    [spans], (rows, keys) = found[0], mask.shape
    lo, hi = (ends.T.astype(np.int64) + keys * np.arange(rows)[:, None] for ends in (spans.lo, spans.hi))
    edges = np.stack([lo, hi], axis=-1)[lo < hi].ravel()
    joined = edges[1:-1:2] == edges[2::2]  # the last run of a row and the first of the next
    edges = np.delete(edges, np.flatnonzero(joined)[:, None] * 2 + [1, 2])
    return edges[edges < rows * keys]


def _transposed(allowed: Any, order: str) -> Any:
    if order != "column" or allowed.ndim != 2:
        raise ConfigError(f"order must be 'row', or 'column' of two axes, got {order!r} of {allowed.ndim}")
    return allowed.T


@hookimpl
def maskkit_backends():
    return [Runs()]
