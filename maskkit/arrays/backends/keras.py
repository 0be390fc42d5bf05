"""Keras, on whichever backend it runs: torch, jax or tensorflow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from maskkit.errors import ConfigError


class Keras:
    """Tensors of Keras' current backend. For a device use `keras.device(...)`, as everywhere in Keras."""

    name = "keras"

    def from_host(self, array: npt.NDArray[Any], dtype: str, device: Any) -> Any:
        _check_device(device)
        if dtype == "bfloat16":
            return ops.cast(ops.convert_to_tensor(_bits_to_float32(array)), "bfloat16")
        return ops.convert_to_tensor(array, dtype=dtype)

    def arange(self, size: int, device: Any) -> Any:
        _check_device(device)
        # JAX has 64 bits only where it was told so; elsewhere they keep parameters above 2**31 exact.
        return ops.arange(size, dtype="int32" if keras.backend.backend() == "jax" else "int64")

    def where(self, allowed: Any, shape: tuple[int, ...], on: Any, off: Any, dtype: str) -> Any:
        allowed = ops.broadcast_to(allowed, shape)
        return ops.where(allowed, ops.convert_to_tensor(on, dtype=dtype), ops.convert_to_tensor(off, dtype=dtype))

    def like(self, table: npt.NDArray[Any], other: Any) -> Any:
        return ops.convert_to_tensor(table)


def _bits_to_float32(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The upper half of a float32 is a bfloat16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _check_device(device: Any) -> None:
    if device is not None:
        raise ConfigError(f"keras tensors take no device, got {device!r}; use `with keras.device({device!r}):`")


BACKEND = Keras()
