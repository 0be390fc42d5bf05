"""What is asked of a kernel: library, device, dtype, shapes, mask. Whatever cannot be one problem is refused here."""

from __future__ import annotations

import copy
import json
import math
import sys
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen
from maskkit.arrays.dtypes import dtype_name, is_floating
from maskkit.arrays.libraries import is_array, library
from maskkit.errors import ConfigError
from maskkit.masks.axes import HEADS, check_attention, sizes
from maskkit.masks.mask import Mask
from maskkit.masks.rows import plane_spans
from maskkit.masks.spans import Spans
from maskkit.validators import is_number, shown


@frozen(kw_only=True)
class Problem:
    """One call of `maskkit.attend`, without its arrays.

    Attributes:
        mask: which pairs are allowed; None allows all.
        library: "torch", "jax" or "numpy".
        device: as the library writes it: "cpu", "cuda:0".
        dtype: of all arrays: "float32".
        batch, heads, kv_heads: head h of the query reads head `h // (heads // kv_heads)` of key and value.
        queries, keys: numbers of them.
        head_dim, value_dim: widths of query and key, and of value.
        scale: what scores are multiplied by; None is `head_dim ** -0.5`.
        training: whether gradients will be asked for, as far as the library tells.
        dropout_p: share of attention weights that are dropped.
        return_lse: whether the log-sum-exp of the scores is asked for.
        traced: whether `torch.compile` makes a graph of the call: its arrays have shapes, and no values.
    """

    mask: Mask | None = None
    library: str = "torch"
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 1
    heads: int
    kv_heads: int
    queries: int
    keys: int
    head_dim: int
    value_dim: int
    scale: float | None = None
    training: bool = False
    dropout_p: float = 0.0
    return_lse: bool = False
    traced: bool = False

    def planes(self) -> tuple[list[Spans], npt.NDArray[np.int64]] | None:
        """What the mask allows: the spans of its different planes, and which of them each (sample, head) has.

        None where its values are elsewhere, or it has no few intervals per row and is too large to look for them.
        """
        mask = self.mask
        whole = (self.batch, self.heads)
        if mask is None:
            lo = np.zeros((1, self.queries), np.int32)
            return [Spans(lo, lo + np.int32(self.keys), self.keys)], np.zeros(whole, np.int64)
        found = _planes(mask) if mask.on_host else None
        return None if found is None else (found[0], np.broadcast_to(found[1], whole))

    def remember(self) -> str:
        """A name by which the operators of a graph find this problem again, for graphs hold no masks.

        The same in every process where the mask can be written down, as graphs may be kept on disk.
        """
        mask = self.mask
        try:
            written = None if mask is None else [str(type(mask)), mask.get_config()]
            content = json.dumps([written, repr(evolve(self, mask=None))])
        except TypeError:
            content = uuid4().hex
        name = sha256(content.encode()).hexdigest()
        _remembered[name] = evolve(self, traced=False)
        return name

    @staticmethod
    def remembered(name: str) -> Problem:
        """The problem of this name.

        Raises:
            ConfigError: it was remembered in another process.
        """
        if name not in _remembered:
            raise ConfigError("this graph was made in another process, and holds no masks; compile where it runs")
        return _remembered[name]

    @property
    def empty(self) -> bool:
        """Whether an array has no element: libraries' own calls take such, few others do."""
        sizes = self.batch, self.heads, self.queries, self.keys, self.head_dim, self.value_dim
        return 0 in sizes

    @property
    def factor(self) -> float:
        """What scores are multiplied by."""
        return self.head_dim**-0.5 if self.scale is None else self.scale

    def __attrs_post_init__(self) -> None:
        if self.mask is not None:
            _check_mask(self.mask, self)
        if self.scale is not None and not (is_number(self.scale) and 0 <= self.scale < math.inf):
            raise ConfigError(f"scale must not be negative, got {shown(self.scale)}")
        if not (is_number(self.dropout_p) and 0 <= self.dropout_p < 1):
            raise ConfigError(f"dropout_p must be in [0, 1), got {shown(self.dropout_p)}")


_planes = lru_cache(maxsize=4)(plane_spans)
"""Several kernels ask one after the other."""
_remembered: dict[str, Problem] = {}
"""Until the process ends: nobody tells how long a graph will be there."""


def problem_of(query: Any, key: Any, value: Any, mask: Any = None, *, enable_gqa: bool = False, **more: Any) -> Problem:
    """The problem that arrays pose.

    Raises:
        ConfigError: they differ in library, device, dtype or a size, or do not fit the mask, with both; `more` is not
            in its range.
        TypeError: the mask is no `Mask`.
    """
    arrays = {"query": query, "key": key, "value": value}
    for name, array in arrays.items():
        if not is_array(array) or library(array) == "keras" or len(array.shape) != 4:
            raise ConfigError(
                f"{name} must be an array (batch, heads, length, width) of Torch, JAX or NumPy, got {shown(array)}"
            )
    for what, of in (("library", library), ("device", device_of), ("dtype", lambda array: dtype_name(array.dtype))):
        found = {name: of(array) for name, array in arrays.items()}
        if len(set(found.values())) > 1:
            text = ", ".join(f"{name} {one}" for name, one in found.items())
            raise ConfigError(f"query, key and value must have one {what}, got {text}")
    if not is_floating(dtype_name(query.dtype)):
        raise ConfigError(f"query must be floating, got {query.dtype}")
    (batch, heads, queries, head_dim), (_, kv_heads, keys, _) = (map(int, x.shape) for x in (query, key))
    for name, array, wanted in (("key", key, (batch, None, None, head_dim)), ("value", value, (batch, kv_heads, keys))):
        for axis, size, want in zip(("batch", "head", "key", "width"), array.shape, wanted, strict=False):
            if want not in (None, size):
                raise ConfigError(f"{name} has {size:,} along the axis {axis!r}, and must have {want:,}")
    if heads != kv_heads and (not enable_gqa or heads % kv_heads):
        hint = "make one a multiple of the other" if enable_gqa else "give enable_gqa=True to share them in groups"
        raise ConfigError(f"query has {heads:,} heads, key and value {kv_heads:,}; {hint}")
    return Problem(
        mask=_as_mask(mask),
        library=library(query),
        device=device_of(query),
        dtype=dtype_name(query.dtype),
        batch=batch,
        heads=heads,
        kv_heads=kv_heads,
        queries=queries,
        keys=keys,
        head_dim=head_dim,
        value_dim=int(value.shape[-1]),
        training=wants_gradients(arrays.values()),
        **more,
    )


def device_of(array: Any) -> str:
    """Where an array is, as its library writes it; JAX does not say so of what it traces, and means its default."""
    if library(array) == "torch":
        return str(array.device)
    if library(array) == "numpy":
        return "cpu"
    jax = sys.modules["jax"]
    traced = isinstance(array, jax.core.Tracer)
    return str(jax.default_backend() if traced else next(iter(array.devices())).platform)


def wants_gradients(arrays: Any) -> bool:
    """Whether Torch would ask for gradients of any."""
    torch = sys.modules.get("torch")
    return bool(torch and torch.is_grad_enabled() and any(getattr(array, "requires_grad", False) for array in arrays))


def _as_mask(mask: Any) -> Mask | None:
    if mask is None or isinstance(mask, Mask):
        return copy.copy(mask)  # what is kept by plans does not keep the caller's mask, by whose life others cache
    way = 'write maskkit.from_array(array, true="allowed") or true="blocked"' if is_array(mask) else "see maskkit list"
    raise TypeError(f"mask must be a maskkit mask or None, got {shown(mask)}; {way}")


def _check_mask(mask: Mask, problem: Problem) -> None:
    """Every axis of the mask has the size that the arrays have, or 1 before query and key."""
    check_attention(mask)
    wanted = dict(zip(HEADS, (problem.batch, problem.heads, problem.queries, problem.keys), strict=True))
    for axis, size in sizes(mask).items():
        if size != wanted[axis] and (size != 1 or axis in HEADS[-2:]):
            hint = ""
            if axis in HEADS[-2:] and size > wanted[axis]:
                hint = "; cut the mask, as mask[-1:, :] for the last query"
            raise ConfigError(
                f"{shown(mask)} has {size:,} along the axis {axis!r}, the arrays have {wanted[axis]:,}{hint}"
            )
