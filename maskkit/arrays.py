"""Array fields of masks: kept as the caller gave them, compared by content, looked up on any library."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt


def as_array(value: Any) -> Any:
    """A converter for array fields: lists become NumPy arrays, arrays of any library stay as they are.

    A mapping `{"values": nested list, "dtype": name}` is the saved form of an array whose dtype a list would lose.
    """
    if isinstance(value, Mapping) and set(value) == {"values", "dtype"}:
        return np.asarray(value["values"], dtype=value["dtype"])
    if isinstance(value, (list, tuple)):
        return np.asarray(value)
    return value


def as_plain(value: npt.NDArray[Any]) -> Any:
    """The saved form of an array: a nested list, with its dtype beside it where the list would lose it."""
    values = value.tolist()
    if np.asarray(values).dtype == value.dtype:
        return values
    return {"values": values, "dtype": value.dtype.name}


def is_array(value: Any) -> bool:
    """Whether this is an array of NumPy, Torch, JAX, TensorFlow or another library (not a list, not a scalar)."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, np.generic)


def library(value: Any) -> str:
    """The backend an array belongs to: `"numpy"`, `"torch"`, `"jax"`, or `"keras"` for everything else (TensorFlow)."""
    if isinstance(value, np.ndarray):
        return "numpy"
    if (torch := sys.modules.get("torch")) and isinstance(value, torch.Tensor):
        return "torch"
    if (jax := sys.modules.get("jax")) and isinstance(value, jax.Array):
        return "jax"
    return "keras"


def namespace(value: Any) -> Any:
    """The functions (`amax`, `argmax`, ...) for an array: the module `numpy`, `torch`, `jax.numpy` or `keras.ops`."""
    name = {"jax": "jax.numpy", "keras": "keras.ops"}.get(library(value), library(value))
    return sys.modules.get(name) or import_module(name)  # torch.compile traces a look-up, and no import


def host(value: Any) -> npt.NDArray[Any] | None:
    """The array as NumPy sees it, without a copy from another device; None if it is a tracer or lives elsewhere."""
    if isinstance(value, np.ndarray):
        return value
    kind = library(value)
    if kind == "torch":
        torch = sys.modules["torch"]
        plain = type(value) in (torch.Tensor, torch.nn.Parameter) and not torch.compiler.is_compiling()
        if not plain or value.device.type != "cpu":
            return None
        # NumPy has no bfloat16; float32 holds every value of it.
        tensor = value.float() if value.dtype == torch.bfloat16 else value
        array: npt.NDArray[Any] = tensor.detach().numpy()
        return array
    if kind == "jax":
        jax = sys.modules["jax"]
        if isinstance(value, jax.core.Tracer) or any(d.platform != "cpu" for d in value.devices()):
            return None
        return np.asarray(value)
    if "cpu" in str(getattr(value, "device", "")).lower() and hasattr(value, "numpy"):
        return np.asarray(value)
    return None


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
        digest = hashlib.blake2b(np.ascontiguousarray(numbers).tobytes(), digest_size=8)
        return hash((numbers.shape, digest.digest()))

    def _numbers(self) -> npt.NDArray[Any] | None:
        return host(self.value) if is_array(self.value) else np.asarray(self.value)


def by_content(value: Any) -> _Content:
    """For `field(eq=by_content)`: arrays in host memory are equal by their values, device tensors by identity."""
    return _Content(value)


def take(table: Any, *index: Any) -> Any:
    """`table[index]` for tables and indices of any library: in a predicate, the value that belongs to a position.

    Args:
        table: an array (a mask's field); with several axes, give as many indices.
        index: integer arrays that broadcast against each other.
    """
    table = _beside(table, next((i for i in index if is_array(i) and library(i) != "numpy"), None))
    if library(table) == "keras":
        return _take_keras(table, index)
    return table[index if len(index) > 1 else index[0]]


def _beside(table: Any, index: Any) -> Any:
    """The table as an array of the index's library (None: NumPy's), if it can be read here."""
    kind = "numpy" if index is None else library(index)
    values = None if library(table) == kind else host(table)
    if values is None or kind == "numpy":
        return table if values is None else values
    from maskkit.backends import backend

    return backend(kind).like(values, index)


def _take_keras(table: Any, index: tuple[Any, ...]) -> Any:
    """TensorFlow tensors do not index by tensors: gather from the flattened table."""
    from keras import ops

    flat = index[0]
    for size, i in zip(table.shape[1:], index[1:], strict=True):
        flat = flat * size + i
    return ops.take(ops.reshape(table, (-1,)), flat)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two integers or integer arrays of any library, for predicates."""
    if _numpy(a, b):
        return np.minimum(a, b)
    return (a + b - abs(a - b)) // 2


def maximum(a: Any, b: Any) -> Any:
    """The larger of two integers or integer arrays of any library, for predicates."""
    if _numpy(a, b):
        return np.maximum(a, b)
    return (a + b + abs(a - b)) // 2


def _numpy(a: Any, b: Any) -> bool:
    return (isinstance(a, np.ndarray) and isinstance(b, (int, np.ndarray))) or (
        isinstance(b, np.ndarray) and isinstance(a, int)
    )
