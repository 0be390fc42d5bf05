"""Counter-based random bits: (seed, position) gives the number, on every library and in any order."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
from maskkit.arrays.libraries import symbol_of
from maskkit.errors import ConfigError

# Odd multipliers below 2**15: with halves of 16 bits every product stays below 2**31, so that 32-bit integers of any
# library (and Python's own) hold it exactly, without wrap-around and without casts.
_MULTIPLIERS = (0x6F4B, 0x5D29, 0x7A35, 0x4E6D)
_LOW = 0xFFFF


def seed_or_new(seed: int | None) -> int:
    """A converter for seed fields: None becomes `0 .. 2**31 - 1` from the operating system; no generator is touched."""
    return secrets.randbits(31) if seed is None else seed


def random_bits(seed: int, *position: Any) -> Any:
    """31 random bits for a position: integers `0 .. 2**31 - 1`, shaped as the positions broadcast.

    A Feistel network on two halves of 16 bits (`left, right = right, left ^ f(right)`: Luby and Rackoff 1988) hashes
    every coordinate with the seed, and once more what they give together. It uses `+ * // & ^` alone, so it runs
    inside Torch, JAX, Keras and FlexAttention as it runs on NumPy.

    Args:
        seed: an integer `0 .. 2**64 - 1`.
        position: integers or integer arrays, `0 <= coordinate < 2**31`.

    Raises:
        ConfigError: a coordinate of Python or NumPy is beyond; others are not looked at.
    """
    if (symbol := symbol_of(*position)) is not None:
        return symbol.kept("random_bits", seed, *position)
    key = [seed >> shift & _LOW for shift in (0, 16, 32, 48)]
    left: Any = 0
    right: Any = 0
    for axis, coordinate in enumerate(position):
        if isinstance(coordinate, (np.ndarray, np.integer, int)) and (far := int(np.max(coordinate, initial=0))) >> 31:
            raise ConfigError(f"random bits are for positions below 2**31, got {far}; use shorter masks")
        if isinstance(coordinate, np.ndarray):
            coordinate = coordinate.astype(np.int32)  # half the memory is half the time
        words = (*key, axis, coordinate & _LOW, coordinate // 65536, 0, 0, 0)
        a, b = _hash(0x243F, 0x6A88, words)  # the first bits of the fraction of pi
        left, right = left ^ a, right + b & _LOW
    left, right = _hash(left, right, (0, 0, 0, 0))
    return (left & 0x7FFF) * 65536 + right


def _hash(left: Any, right: Any, words: tuple[Any, ...]) -> tuple[Any, Any]:
    """Absorb words of 16 bits, a round each, and stir."""
    for i, word in enumerate(words):
        left, right = _round(left ^ word, right, i % 4)
    return left, right


def _round(left: Any, right: Any, i: int) -> tuple[Any, Any]:
    """One round; both halves stay in `0 .. 65535`."""
    product = right * _MULTIPLIERS[i] + 0x3C6E  # below 2**31: 65535 * 31285 + 15470
    return right, left ^ ((product // 64 ^ product) & _LOW)


def threshold(probability: float) -> int:
    """The number `t` for which `random_bits(...) < t` has the given probability; exact for 0 and 1."""
    return round(probability * 2**31)
