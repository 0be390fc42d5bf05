"""JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy.typing as npt


class Jax:
    """JAX arrays; under `jit` they are constants of the traced program."""

    name = "jax"

    def from_host(self, array: npt.NDArray[Any], dtype: str, device: Any) -> jax.Array:
        if dtype == "bfloat16":
            array = array.view(jnp.bfloat16)
        return jnp.asarray(array, device=_device(device))

    def arange(self, size: int, device: Any) -> jax.Array:
        return jnp.arange(size, device=_device(device))

    def where(self, allowed: jax.Array, shape: tuple[int, ...], on: Any, off: Any, dtype: str) -> jax.Array:
        kind = jnp.dtype(dtype)
        return jnp.where(jnp.broadcast_to(allowed, shape), jnp.asarray(on, kind), jnp.asarray(off, kind))

    def like(self, table: npt.NDArray[Any], other: jax.Array) -> jax.Array:
        return jnp.asarray(table)


def _device(device: Any) -> Any:
    """`"cpu"` -> the first such device; devices and shardings as they are."""
    return jax.devices(device)[0] if isinstance(device, str) else device


BACKEND = Jax()
