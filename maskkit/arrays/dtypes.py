"""Dtypes by their plain names, whichever library's object was given."""

from __future__ import annotations

from typing import Any

import numpy as np
from maskkit.errors import ConfigError


def dtype_name(dtype: Any) -> str:
    """`torch.float16`, `jnp.float16`, `numpy.float16`, `"float16"` -> `"float16"`; None -> `"bool"`."""
    if dtype is None:
        return "bool"
    if isinstance(dtype, type) and dtype in (bool, int, float):  # tf.float32 == float
        return str(np.dtype(dtype))
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    return str(name or dtype).removeprefix("torch.").removesuffix("_")


def mask_dtype(dtype: Any) -> str:
    """The name of a dtype that a mask's array may have: one that can hold 0 and 1."""
    name = dtype_name(dtype)
    if name == "bfloat16":
        return name
    found = host_dtype(name)
    if found.kind not in "biuf":
        raise ConfigError(f"dtype must be bool, an integer or a floating dtype, got {name!r}")
    return found.name


def host_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype in whose memory values of this dtype are written: bfloat16 as its bits."""
    try:
        return np.dtype(np.uint16 if name == "bfloat16" else name)
    except TypeError:
        raise ConfigError(f"dtype {name!r} is not known; use a name such as 'bool', 'float32', 'bfloat16'") from None


def host_value(value: float, name: str) -> Any:
    """A number as it is written into memory of `host_dtype(name)`."""
    if name == "bfloat16":
        return np.uint16(np.float32(value).view(np.uint32) >> 16)
    return host_dtype(name).type(value)


def lowest(name: str) -> float:
    """The lowest finite number of a floating dtype."""
    if name == "bfloat16":
        return float(np.uint32(0xFF7F0000).view(np.float32))
    return float(np.finfo(name).min)


def is_floating(name: str) -> bool:
    """Whether the dtype can hold minus infinity."""
    return name == "bfloat16" or host_dtype(name).kind == "f"
