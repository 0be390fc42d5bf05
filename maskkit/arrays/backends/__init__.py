"""Array libraries behind one small interface; each is imported when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Protocol

import numpy.typing as npt
from maskkit.errors import ConfigError

BUILT_IN = ("numpy", "torch", "jax", "keras")


class Backend(Protocol):
    """What a mask needs of an array library. Another library joins through the hook `maskkit_backends`."""

    name: str

    def from_host(self, array: npt.NDArray[Any], dtype: str, device: Any) -> Any:
        """The library's array of `dtype` on `device` (None: the default), without a copy where that is possible.

        A `dtype` that NumPy lacks arrives as its bits: `bfloat16` as `uint16`.
        """

    def arange(self, size: int, device: Any) -> Any:
        """The indices `0 .. size - 1`, for a predicate that must be evaluated on this library."""

    def where(self, allowed: Any, shape: tuple[int, ...], on: Any, off: Any, dtype: str) -> Any:
        """Broadcast booleans of this library to `shape`: `on` where allowed, `off` where blocked."""

    def like(self, table: npt.NDArray[Any], other: Any) -> Any:
        """A host array as an array of this library, on the device of `other`."""


@cache
def built_in(name: str) -> Backend:
    """The backend of this name among the core's own.

    Raises:
        ConfigError: its library is missing.
    """
    try:
        found: Backend = import_module(f"maskkit.arrays.backends.{name}").BACKEND
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "maskkit":
            raise
        raise ConfigError(f"backend {name!r} needs {error.name}: pip install {error.name}") from error
    return found
