"""Torch."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch


class Torch:
    """Tensors; host memory is shared, not copied, where the device is the cpu."""

    name = "torch"

    def from_host(self, array: npt.NDArray[Any], dtype: str, device: Any) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if dtype == "bfloat16":
            tensor = tensor.view(torch.bfloat16)
        return tensor if device is None else tensor.to(device)

    def arange(self, size: int, device: Any) -> torch.Tensor:
        return torch.arange(size, device=device)

    def where(self, allowed: torch.Tensor, shape: tuple[int, ...], on: Any, off: Any, dtype: str) -> torch.Tensor:
        kind = getattr(torch, dtype)
        allowed = torch.as_tensor(allowed).expand(shape)
        if kind == torch.bool:
            return allowed.clone() if on else ~allowed
        scalars = (torch.tensor(value, dtype=kind, device=allowed.device) for value in (on, off))
        return torch.where(allowed, *scalars)

    def like(self, table: npt.NDArray[Any], other: torch.Tensor) -> torch.Tensor:
        # Torch warns of memory that NumPy calls read-only, such as a JAX array's; while compiling it does not know it.
        shared = torch.compiler.is_compiling() or table.flags.writeable
        return torch.as_tensor(table if shared else table.copy(), device=other.device)


BACKEND = Torch()
