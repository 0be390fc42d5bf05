"""Random numbers that are addressed, not drawn in turn: (seed, epoch, sample, column) gives the number.

No state and no global generator: the masks of a sample do not depend on the batch, worker or rank that asks for them,
nor on what was asked before. `keys` gives every sample of a batch its key; all else turns keys and column numbers into
numbers, for whole batches at once. A column must be used for one purpose only; `fork` gives keys whose columns are all
fresh.

The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators",
section 4, with Stafford's constants): a key is a stream of that generator, a column is a position in it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Bits = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_GOLDEN = 0x9E3779B97F4A7C15
_STEP = np.uint64(_GOLDEN)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_TWELVE, _TWENTY_SEVEN, _THIRTY, _THIRTY_ONE = map(np.uint64, (12, 27, 30, 31))
_WORD = 2**64 - 1
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)
_TOP, _BELOW_TOP = np.uint64(2**63), np.uint64(2**63 - 1)
_FIRST_INVERSE, _SECOND_INVERSE = (np.uint64(pow(int(factor), -1, 2**64)) for factor in (_FIRST, _SECOND))


def keys(seed: int, epoch: int, ids: npt.ArrayLike) -> Bits:
    """A key for each sample.

    Args:
        seed: `0 .. 2**64 - 1`.
        epoch: an integer, `>= 0`.
        ids: (B,) sample numbers, `>= 0`.
    """
    words = np.asarray(ids).astype(np.uint64)
    words *= _STEP
    words += _start(seed, epoch)
    return _mix(words)


def fork(keys: Bits, number: int) -> Bits:
    """Other keys for the same samples, one set for each `number` (`0 .. 2**32 - 1`)."""
    return _mix(keys ^ _salt(number))


def bits(keys: Bits, first: Any, count: int) -> Bits:
    """64 random bits for the columns `first .. first + count - 1` of each sample: (B, count).

    `first` is an integer, or an integer array (B,) where samples use different columns.
    """
    start, steps = _positions(keys, first, count)
    return _mix(start[:, None] + steps)


def _positions(keys: Bits, first: Any, count: int) -> tuple[Bits, Bits]:
    """Where in their streams samples are (B,), and how far from there the columns lie (count,)."""
    steps = np.arange(1, count + 1, dtype=np.uint64)
    steps *= _STEP
    if isinstance(first, np.ndarray):
        keys = keys + first.astype(np.uint64) * _STEP
    elif first:
        steps += np.uint64(first * _GOLDEN & _WORD)
    return keys, steps


def uniform(keys: Bits, first: Any, count: int) -> Floats:
    """Numbers in [0, 1), 52 bits fine, so that `x * uniform` stays below `x` for every positive x: (B, count)."""
    words = bits(keys, first, count)
    words >>= _TWELVE
    return words.astype(np.float64) * 2.0**-52


def coarse(keys: Bits, first: Any, count: int) -> Floats:
    """Numbers in [0, 1), 32 bits fine, to choose among few; two of them take one column. Samples last: (count, B)."""
    start, steps = _positions(keys, first, (count + 1) // 2)
    words = _mix(steps[:, None] + start)
    numbers = np.concatenate([words >> _HALF, words & _LOW]).astype(np.float64)[:count]
    numbers *= 2.0**-32
    return numbers


def between(keys: Bits, first: Any, count: int, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
    """Numbers uniform in [low, high): (B, count); the ends broadcast against that."""
    start = np.asarray(low, np.float64)
    numbers: Floats = start + (np.asarray(high, np.float64) - start) * uniform(keys, first, count)
    return numbers


def integers(keys: Bits, first: Any, count: int, size: npt.ArrayLike) -> Ints:
    """Integers uniform in `0 .. size - 1`: (B, count); `size` (below 2**31) broadcasts against that."""
    numbers: Ints = (uniform(keys, first, count) * np.asarray(size)).astype(np.int64)
    return numbers


def evenly(keys: Bits) -> Floats:
    """A number in [0, 1) for each sample that spreads evenly over any run of consecutive ids: (B,).

    Of n such samples, n * p give or take a few have one below p. (Under the hash, the keys of a seed and epoch are
    multiples of the golden ratio, modulo 1: Weyl's sequence of least discrepancy. This undoes the hash.) Forked keys
    give independent numbers.
    """
    words = keys ^ keys >> _THIRTY_ONE ^ keys >> np.uint64(62)
    words *= _SECOND_INVERSE
    words ^= words >> _TWENTY_SEVEN ^ words >> np.uint64(54)
    words *= _FIRST_INVERSE
    words ^= words >> _THIRTY ^ words >> np.uint64(60)
    words >>= _TWELVE
    numbers: Floats = words.astype(np.float64) * 2.0**-52
    return numbers


def shuffle(keys: Bits, first: Any, size: int) -> Ints:
    """A permutation of `0 .. size - 1` for each sample: (B, size). Uses `size` columns."""
    return np.argsort(_distinct(keys, first, size), axis=1)


def choose(keys: Bits, first: Any, count: Any, among: int | Bools) -> Bools:
    """Exactly `count` positions for each sample, every set of that many equally likely: (B, N) booleans.

    Args:
        keys: of the samples.
        first: the first of the N columns that this uses.
        count: an integer, or (B,) integers; at least what there is to choose from is taken.
        among: N, or booleans (B, N) that say which positions may be chosen.
    """
    size = among if isinstance(among, int) else among.shape[1]
    words = _distinct(keys, first, size)
    if not isinstance(among, int):
        words[~among] = _WORD
    if isinstance(count, np.ndarray):
        last = np.take_along_axis(np.sort(words, axis=1), np.clip(count - 1, 0, size - 1)[:, None], axis=1)
        chosen = (words <= last) & (count > 0)[:, None]
    elif count <= 0:
        return np.zeros(words.shape, np.bool_)
    elif count >= size:
        chosen = np.ones(words.shape, np.bool_)
    else:
        chosen = words <= np.partition(words, count - 1, axis=1)[:, count - 1, None]
    return chosen if isinstance(among, int) else chosen & among


def choose_rather(keys: Bits, first: Any, count: int, rather: Bools) -> Bools:
    """Exactly `count` positions for each sample: of `rather` (B, N) as many as can be, then of the others; at random.

    Uses N columns.
    """
    words = _distinct(keys, first, rather.shape[1])
    words &= _BELOW_TOP
    words[~rather] |= _TOP
    chosen: Bools = words <= np.partition(words, count - 1, axis=1)[:, count - 1, None]
    return chosen


def _distinct(keys: Bits, first: Any, size: int) -> Bits:
    """Random words, no two of a sample equal: the lowest bits number the columns."""
    low = (1 << max(size - 1, 1).bit_length()) - 1
    words = bits(keys, first, size)
    words &= np.uint64(_WORD ^ low)
    words |= np.arange(size, dtype=np.uint64)
    return words


def _mix(words: Bits) -> Bits:
    """The finaliser, in place."""
    words ^= words >> _THIRTY
    words *= _FIRST
    words ^= words >> _TWENTY_SEVEN
    words *= _SECOND
    words ^= words >> _THIRTY_ONE
    return words


@lru_cache(maxsize=256)
def _start(seed: int, epoch: int) -> np.uint64:
    """Where the keys of a seed and epoch begin."""
    return _mix_one(int(_mix_one(seed + _GOLDEN)) + epoch * _GOLDEN)


@lru_cache(maxsize=256)
def _salt(number: int) -> np.uint64:
    return _mix_one((number + 1) * int(_SECOND))


def _mix_one(word: int) -> np.uint64:
    mixed: np.uint64 = _mix(np.array([word & _WORD], np.uint64))[0]
    return mixed
