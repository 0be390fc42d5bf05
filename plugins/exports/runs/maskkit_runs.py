"""Runs: masks as lengths of runs, blocked and allowed in turn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from maskkit import ConfigError, Mask, from_array, hookimpl, limits


class Runs:
    """Lengths of runs over all positions, blocked first: with order "column" the run lengths of COCO."""

    name = "runs"

    def export(self, mask: Mask, order: str = "row") -> dict[str, Any]:
        """`size`, the mask's shape, and `counts`, row by row or (of two axes) column by column."""
        allowed = mask.allowed(dtype="bool")
        flat = (_transposed(allowed, order) if order != "row" else allowed).ravel()
        edges = np.flatnonzero(np.diff(flat)) + 1
        ends = np.concatenate([[0], edges, [flat.size]])
        counts = np.diff(ends).tolist()
        return {"size": list(allowed.shape), "counts": [0, *counts] if flat[:1].any() else counts}

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


def _transposed(allowed: Any, order: str) -> Any:
    if order != "column" or allowed.ndim != 2:
        raise ConfigError(f"order must be 'row', or 'column' of two axes, got {order!r} of {allowed.ndim}")
    return allowed.T


@hookimpl
def maskkit_backends():
    return [Runs()]
