"""Masks whose arrays have a dtype of their own: what `create_mask(..., dtype="float32")` gives."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from maskkit.dtypes import dtype_name, host_dtype
from maskkit.errors import ConfigError
from maskkit.mask import AttentionMask, Mask
from maskkit.spans import Spans


@frozen(repr=False)
class Typed(Mask):
    """A mask that gives arrays of its dtype where none is asked for, and is the same mask in all else.

    What is made of typed masks by `& | ^ ~` has the dtype that all parts agree on, else bool; slices keep it.
    """

    name = "typed"
    base: Mask
    array_dtype: str  # not `dtype`: what has a shape and a dtype, libraries take for an array

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the mask."""
        return self.base.shape

    def allows(self, *index: Any) -> Any:
        """What the mask allows."""
        return self.base.allows(*index)

    def spans(self, *rows: Any) -> Spans | None:
        """Those of the mask."""
        return self.base.spans(*rows)

    def cover(self, *rows: Any) -> Spans | None:
        """That of the mask."""
        return self.base.cover(*rows)

    @property
    def on_host(self) -> bool:
        """Whether the mask is."""
        return self.base.on_host

    def allowed(self, backend: str = "numpy", dtype: Any = None, device: Any = None) -> Any:
        """As `Mask.allowed`, but None is the dtype of this mask."""
        return self.base.allowed(backend, self.array_dtype if dtype is None else dtype, device)

    def blocked(self, backend: str = "numpy", dtype: Any = None, device: Any = None) -> Any:
        """As `Mask.blocked`, but None is the dtype of this mask."""
        return self.base.blocked(backend, self.array_dtype if dtype is None else dtype, device)

    def __repr__(self) -> str:
        return f"typed({self.base!r}, {self.array_dtype!r})"


@frozen(repr=False)
class AttentionTyped(Typed, AttentionMask):
    """The same, of an attention mask."""


def typed(mask: Mask, dtype: Any) -> Mask:
    """The mask with this dtype; bool is the mask as it is without one.

    Args:
        mask: a mask, typed or not.
        dtype: bool, an integer or a floating dtype: its name, or a dtype of any library.
    """
    base, name = untyped(mask), checked_dtype(dtype)
    if name == "bool":
        return base
    return (AttentionTyped if isinstance(base, AttentionMask) else Typed)(base, name)


def untyped(mask: Mask) -> Mask:
    """The mask that gives booleans."""
    return mask.base if isinstance(mask, Typed) else mask


def common_dtype(*masks: Mask) -> str:
    """The dtype that all masks give, bool if they do not agree."""
    dtypes = {mask.array_dtype if isinstance(mask, Typed) else "bool" for mask in masks}
    return dtypes.pop() if len(dtypes) == 1 else "bool"


def checked_dtype(dtype: Any) -> str:
    """The name of a dtype that can hold 0 and 1."""
    name = dtype_name(dtype)
    if name == "bfloat16":
        return name
    found = host_dtype(name)
    if found.kind not in "biuf":
        raise ConfigError(f"dtype must be bool, an integer or a floating dtype, got {name!r}")
    return found.name
