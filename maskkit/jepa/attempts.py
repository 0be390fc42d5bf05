"""Trying again, a bounded number of times, for those samples of a batch that had no luck."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from maskkit.jepa.counter import Array, Bools, Ints

_SIDE = 256
"""Attempts that are made side by side: fewer cost as much."""


def first_success(
    size: int,
    attempt: Callable[[Ints, Ints], tuple[Array, Bools]],
    most: int,
    spare: Callable[[Ints], Array],
) -> Array:
    """What the first successful attempt of each sample gives; a sample makes `most` attempts and no more.

    Unlucky samples make several attempts side by side; the first good one is taken, so the schedule changes no result.

    Args:
        size: of the batch.
        attempt: takes rows of the batch (R,) and the numbers of their attempts (R,); gives results (R, ...) and whether
            each is good. It must be a function of these two.
        most: attempts of a sample, at least 1.
        spare: takes the rows for whom no attempt was good, and gives their results.
    """
    rows = np.arange(size)
    found, good = attempt(rows, np.zeros(size, np.int64))
    left, tried = rows[~good], 1
    while left.size and tried < most:
        side = min(most - tried, max(1, _SIDE // left.size))
        results, good = attempt(np.repeat(left, side), np.tile(np.arange(tried, tried + side), left.size))
        good = good.reshape(left.size, side)
        won, first = good.any(axis=1), good.argmax(axis=1)
        found[left[won]] = results[(np.arange(left.size) * side + first)[won]]
        left, tried = left[~won], tried + side
    if left.size:
        found[left] = spare(left)
    return found
