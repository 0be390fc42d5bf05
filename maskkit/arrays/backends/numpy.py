"""NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit.errors import ConfigError


class NumPy:
    """Arrays in host memory; `device` must be None or `"cpu"`."""

    name = "numpy"

    def from_host(self, array: npt.NDArray[Any], dtype: str, device: Any) -> Any:
        _check_device(device)
        if dtype == "bfloat16":
            array = array.view(_dtype(dtype))
        return array

    def arange(self, size: int, device: Any) -> npt.NDArray[np.int64]:
        _check_device(device)
        return np.arange(size)

    def where(self, allowed: Any, shape: tuple[int, ...], on: Any, off: Any, dtype: str) -> Any:
        kind = _dtype(dtype)
        return np.where(np.broadcast_to(allowed, shape), kind.type(on), kind.type(off))

    def like(self, table: npt.NDArray[Any], other: Any) -> npt.NDArray[Any]:
        return table


def _check_device(device: Any) -> None:
    if device is not None and str(device) != "cpu":
        raise ConfigError(f"NumPy arrays live on the cpu, got device={device!r}; choose backend='torch' or 'jax'")


def _dtype(name: str) -> Any:
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ModuleNotFoundError as error:
        raise ConfigError(
            "NumPy has no bfloat16 of its own: pip install ml_dtypes, or choose backend='torch'"
        ) from error
    return np.dtype(ml_dtypes.bfloat16)


BACKEND = NumPy()
