"""The definition of attention under a mask, in NumPy: what every kernel is held to."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from maskkit import limits
from maskkit.errors import NoFit
from maskkit.kernels.problem import Problem
from maskkit.masks.mask import Mask
from maskkit.registry.item import Cost, Kernel

_PAIRS_PER_SECOND = 2e7
"""In float64, one thread; nobody else computes NumPy arrays, so it need not be exact."""


@frozen(kw_only=True)
class Reference(Kernel):
    """Softmax over the allowed keys of every row, in float64, all scores at once; zeros where there are none."""

    name = "reference"
    library = "numpy"

    def fits(self, problem: Problem) -> float | NoFit:
        """NumPy arrays, without dropout."""
        if problem.library != "numpy":
            return NoFit("it computes NumPy arrays; give numpy.asarray(query)")
        if problem.dropout_p:
            return NoFit("it drops nothing; give dropout_p=0.0")
        pairs = problem.batch * problem.heads * problem.queries * problem.keys
        return Cost(pairs / _PAIRS_PER_SECOND, pairs=pairs, nbytes=pairs * 8)

    def attend(self, query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
        """In float64, whatever the dtype of the arrays."""
        limits.check_dense("array of scores", (problem.batch, problem.heads, problem.queries, problem.keys), 8)
        group = problem.heads // problem.kv_heads
        key, value = (np.repeat(np.asarray(array, np.float64), group, axis=1) for array in (key, value))
        scores = np.asarray(query, np.float64) @ key.swapaxes(-1, -2) * problem.factor
        if mask is not None:
            scores = np.where(mask.allowed(dtype="bool", form="heads"), scores, -np.inf)
        highest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
        weights = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
        total = weights.sum(axis=-1, keepdims=True)
        out = weights @ value / np.where(total, total, 1)
        if not problem.return_lse:
            return out
        with np.errstate(divide="ignore"):
            return out, (np.log(total) + np.where(total, highest, 0))[..., 0]
