"""Arrays of NumPy, Torch, JAX and Keras: which library one is of, its functions, and its values on the host."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt


def is_array(value: Any) -> bool:
    """Whether this is an array of NumPy, Torch, JAX, TensorFlow or another library (not a list, not a scalar)."""
    nested = getattr(value, "is_nested", False)  # of Torch, whose shape is an error
    return hasattr(value, "dtype") and not nested and hasattr(value, "shape") and not isinstance(value, np.generic)


def is_sparse(value: Any) -> bool:
    """Whether an array, of whatever library, holds some of its values only."""
    return "sparse" in type(value).__module__ or (library(value) == "torch" and "strided" not in str(value.layout))


def symbol_of(*values: Any) -> Any:
    """The first of them that keeps what is done to it, and does not do it; else None. See `maskkit.masks.predicate`."""
    return next((value for value in values if hasattr(value, "kept")), None)


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
        traced = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
        plain = type(value) in (torch.Tensor, torch.nn.Parameter) and not traced
        if not plain or value.device.type != "cpu" or value.layout != torch.strided:
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


def fetched(value: Any) -> npt.NDArray[Any]:
    """The array as NumPy sees it, from whatever device: for saving and for pictures, which may wait for it."""
    array = host(value)
    if array is None and hasattr(value, "detach"):
        array = host(value.detach().cpu())
    return np.asarray(value) if array is None else array


def constant_in_graphs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function; where `torch.compile` traces a call, what it gives is a constant of the graph.

    Arguments go in one tuple: what is in one Dynamo compares by value, and an argument of its own by identity.
    """

    def constant(given: Any) -> Any:
        return function(*given)

    constant._dynamo_marked_constant = True  # type: ignore[attr-defined] # as assume_constant_result does, with Torch

    @wraps(function)
    def call(*args: Any) -> Any:
        torch = sys.modules.get("torch")
        traced = torch is not None and torch.compiler.is_compiling()
        return constant(args) if traced else function(*args)

    return call
