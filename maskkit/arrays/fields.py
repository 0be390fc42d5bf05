"""Array fields of configs: kept as the caller gave them, compared by content, saved as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit.arrays.libraries import host, is_array, is_sparse


def as_array(value: Any) -> Any:
    """A converter for array fields: lists become NumPy arrays, arrays of any library stay as they are.

    A mapping `{"values": nested list, "dtype": name}` is the saved form of an array whose dtype a list would lose.
    What is no array, or not the same in that dtype, stays for the validator to refuse.
    """
    with suppress(ValueError, TypeError, OverflowError):
        if isinstance(value, Mapping) and set(value) == {"values", "dtype"}:
            plain = np.asarray(value["values"])
            array = plain.astype(value["dtype"])
            if plain.dtype.kind in "biuf" and np.array_equal(plain, array, equal_nan=array.dtype.kind == "f"):
                return array
        elif isinstance(value, (list, tuple)):
            return np.asarray(value)
    return value


def as_flags(value: Any) -> Any:
    """A converter for fields whose name says what True means: as `as_array`, and integers become booleans.

    They must be 0 and 1, as a tokenizer gives them; others stay for the validator to refuse, on the host.
    """
    value = as_array(value)
    if (
        not is_array(value)
        or is_sparse(value)
        or not str(value.dtype).removeprefix("torch.").startswith(("int", "uint"))
    ):
        return value
    numbers = host(value)
    return value != 0 if numbers is None or bool(((numbers == 0) | (numbers == 1)).all()) else value


def as_plain(value: npt.NDArray[Any]) -> Any:
    """The saved form of an array: a nested list, with its dtype beside it where the list would lose it."""
    values = value.tolist()
    if np.asarray(values).dtype == value.dtype:
        return values
    return {"values": values, "dtype": value.dtype.name}


_HASHED = 2**12
"""Elements of which the hash is made, about: masks are looked up at every call."""


class _Content:
    """What two array fields are compared and hashed by."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Content):
            return NotImplemented
        if self.value is other.value:
            return True
        a, b = self._numbers(), other._numbers()
        if a is None or b is None:
            return False
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")

    def __hash__(self) -> int:
        numbers = self._numbers()
        if numbers is None:
            return id(self.value)
        some = numbers.ravel()[:: numbers.size // _HASHED + 1]
        return hash((numbers.shape, some.tobytes()))

    def _numbers(self) -> npt.NDArray[Any] | None:
        return host(self.value) if is_array(self.value) else np.asarray(self.value)


def by_content(value: Any) -> _Content:
    """For `field(eq=by_content)`: arrays in host memory are equal by their values, device tensors by identity."""
    return _Content(value)
