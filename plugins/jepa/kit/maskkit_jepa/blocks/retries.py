"""Trying again, a bounded number of times, for those samples of a batch that had no luck."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from maskkit_jepa.randomness import Array, Bools, Ints

_SIDE = 256
"""Attempts that are made side by side: fewer cost as much."""


def first_success(
    size: int,
    attempt: Callable[[Ints, Ints], tuple[Array, Bools]],
    most: int,
    spare: Callable[[Ints], Array],
    likely: bool = False,
) -> Array:
    """What the first successful attempt of each sample gives; a sample makes `most` attempts and no more.

    Unlucky samples make several attempts side by side; the first good one is taken, so the schedule changes no result.

    Args:
        size: of the batch.
        attempt: takes rows of the batch (R,) and the numbers of their attempts (R,); gives results (R, ...) and whether
            each is good. It must be a function of these two.
        most: attempts of a sample, at least 1.
        spare: takes the rows for whom no attempt was good, and gives their results.
        likely: whether attempts hardly ever fail, so that small batches need not start with two.
    """
    rows = np.arange(size)
    first = 1 if likely or size > _SIDE // 4 else min(2, most)
    found, good = _side_by_side(rows, range(first), attempt)
    left, tried = rows[~good], first
    while left.size and tried < most:
        numbers = range(tried, min(most, tried + max(1, _SIDE // left.size)))
        results, good = _side_by_side(left, numbers, attempt)
        found[left[good]] = results[good]
        left, tried = left[~good], numbers.stop
    if left.size:
        found[left] = spare(left)
    return found


def _side_by_side(
    rows: Ints, numbers: range, attempt: Callable[[Ints, Ints], tuple[Array, Bools]]
) -> tuple[Array, Bools]:
    """The first good result of each row, and whether there is one."""
    if len(numbers) == 1:
        return attempt(rows, np.full(len(rows), numbers.start))
    results, good = attempt(rows.repeat(len(numbers)), np.tile(np.array(numbers), len(rows)))
    good = good.reshape(len(rows), len(numbers))
    return results[np.arange(0, len(results), len(numbers)) + good.argmax(axis=1)], np.any(good, axis=1)
