"""The mask: an immutable value that says which pairs, pixels or queries are allowed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt
from maskkit import limits
from maskkit.arrays import host, is_array
from maskkit.backends import backend as find_backend
from maskkit.dtypes import dtype_name, host_dtype, host_value, is_floating, lowest
from maskkit.errors import ConfigError
from maskkit.evaluate import dense, materialise
from maskkit.item import Item
from maskkit.spans import Spans

if TYPE_CHECKING:
    from maskkit.blocks import BlockMap
    from maskkit.stats import Stats

log = logging.getLogger("maskkit.mask")


class Mask(Item):
    """A set of allowed positions of an array of the given shape.

    Subclasses are frozen attrs classes: their fields are the whole mask, so masks compare, hash, pickle and print by
    value. They define `allows`, optionally `spans`, and `shape` where it does not follow from a field `seq_len`.
    """

    kind = "mask"
    category: ClassVar[str] = "segmentation"

    __array_ufunc__ = None  # so that `array & mask` comes to us, who say what to write instead

    # -- what a mask defines --------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its array; the last axis is that of the keys (or of whatever is looked at)."""
        raise NotImplementedError(f"{type(self).__name__} must define shape")

    def allows(self, *index: Any) -> Any:
        """Whether the position is allowed: one index per axis, integers or integer arrays of any library.

        Written with comparisons, `+ - * // %`, `& | ^ ~`, `abs` and `maskkit.take`, so that one definition runs on
        NumPy, Torch, FlexAttention, JAX and Keras.
        """
        raise NotImplementedError(f"{type(self).__name__} must define allows")

    def spans(self, *rows: Any) -> Spans | None:
        """The same set as intervals of the last axis; `rows` are integer arrays, one for every axis but the last.

        None (the default) if the mask has no such structure; everything then goes through `allows`.
        """
        return None

    def cover(self, *rows: Any) -> Spans | None:
        """Intervals outside which everything is blocked: lets masks without spans skip work. Default: the spans."""
        return self.spans(*rows)

    @property
    def period(self) -> int:
        """After how many rows a mask of queries by keys repeats, moved by as many keys; 0 (the default): never.

        With 1 it depends on q - k alone, and a class may just say `period = 1`. Arrays (period 1) and block maps then
        ask for its first and its last period of rows only.
        """
        return 0

    paint: ClassVar[Callable[..., None] | None] = None
    """A method `paint(self, out, row, value)`, if a mask with a period knows a quicker way than its spans.

    It writes `value` where the rows `row, row + 1, ..` allow, and nothing elsewhere. `out` is an array of these rows
    `(rows, keys)`, contiguous: whole periods, or up to the last row.
    """

    # -- arrays ---------------------------------------------------------------------------------------------------

    def allowed(self, backend: str = "numpy", dtype: Any = None, device: Any = None) -> Any:
        """The dense array: True (1 in other dtypes) where allowed.

        Args:
            backend: "numpy", "torch", "jax", "keras", or one that a plugin adds.
            dtype: a name, or a dtype of any library; None is bool.
            device: where the library puts it; None is its default.

        Raises:
            TooLarge: the array would be over `maskkit.limits.dense_bytes`.
        """
        return self._dense(backend, dtype_name(dtype), device, on=1, off=0)

    def blocked(self, backend: str = "numpy", dtype: Any = None, device: Any = None) -> Any:
        """The complement of `allowed`, same arguments: True (1) where blocked."""
        return self._dense(backend, dtype_name(dtype), device, on=0, off=1)

    def bias(self, dtype: Any = "float32", backend: str = "numpy", device: Any = None, finite: bool = False) -> Any:
        """What to add to attention scores: 0 where allowed, -inf (`finite`: the dtype's lowest number) where blocked.

        With -inf a plain softmax makes a row that allows nothing NaN; `finite=True` makes it uniform.
        """
        name = dtype_name(dtype)
        if not is_floating(name):
            raise ConfigError(f"a bias needs a floating dtype, got {name!r}; use allowed() or blocked() for others")
        return self._dense(backend, name, device, on=0.0, off=lowest(name) if finite else -np.inf)

    def _dense(self, backend: str, dtype: str, device: Any, *, on: float, off: float) -> Any:
        library = find_backend(backend)
        storage = host_dtype(dtype)
        limits.check_dense("array", self.shape, storage.itemsize)
        log.debug("materialising %s with shape %s as %s %s", type(self).__name__, self.shape, backend, dtype)
        if not self.on_host:
            allowed = materialise(self, lambda size: library.arange(size, device))
            return library.where(allowed, self.shape, on, off, dtype)
        out = dense(self, storage, host_value(on, dtype), host_value(off, dtype))
        return library.from_host(out, dtype, device)

    @property
    def on_host(self) -> bool:
        """Whether all array fields can be read here and now: not on another device, not being traced."""
        fields = (getattr(self, a.name) for a in self.__attrs_attrs__)
        return all(host(value) is not None for value in fields if is_array(value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = self.allowed(dtype=dtype)
        return array

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """`torch.nn.functional.scaled_dot_product_attention` takes a mask as `attn_mask`; no other function does."""
        from maskkit.integrations.torch import call_with_mask

        return call_with_mask(func, args, kwargs or {})

    # -- algebra --------------------------------------------------------------------------------------------------

    def __and__(self, other: Mask) -> Mask:
        """Allowed where both allow."""
        return _combine("and", self, other)

    def __or__(self, other: Mask) -> Mask:
        """Allowed where either allows."""
        return _combine("or", self, other)

    def __xor__(self, other: Mask) -> Mask:
        """Allowed where exactly one allows."""
        return _combine("xor", self, other)

    def __invert__(self) -> Mask:
        """Allowed where this one blocks."""
        return _combine("not", self)

    def __rand__(self, other: Any) -> NoReturn:
        _refuse_operand(other)

    __ror__ = __rxor__ = __rand__

    def __getitem__(self, key: Any) -> Any:
        """A lazy view by slices: `mask[-1:, :]` is the last query row; a batched mask takes an integer first."""
        from maskkit.algebra import view

        return view(self, key)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a mask has no truth value; write `mask is not None`, `mask.stats().allowed > 0` or "
            "`numpy.asarray(mask).any()`, and `&`, `|`, `~` for `and`, `or`, `not`"
        )

    # -- pictures and figures -------------------------------------------------------------------------------------

    def stats(self, block_size: int = 128) -> Stats:
        """Density, rows that are fully blocked, blocks by kind, bytes of each form, attention FLOPs."""
        from maskkit.stats import measure

        return measure(self, block_size)

    def text(self, width: int = 80, height: int | None = None) -> str:
        """A picture for the terminal, in Unicode half blocks: full where allowed, blank where blocked."""
        from maskkit.draw.text import text

        return text(self, width, height)

    def plot(self, ax: Any = None, *, blocked: bool = False, title: str | None = None, cmap: Any = None) -> Any:
        """Draw on matplotlib axes (new ones if None), and return them; `blocked` shows the complement."""
        from maskkit.draw.figure import plot

        return plot(self, ax, blocked=blocked, title=title, cmap=cmap)

    def _repr_svg_(self) -> str:
        from maskkit.draw.svg import svg

        return svg(self)

    def _repr_html_(self) -> str:
        return self._repr_svg_()


class AttentionMask(Mask):
    """Which keys a query may see: shape `(q_len, kv_len)`, or `(batch, q_len, kv_len)`.

    The predicate is `allows(q, k)`, for batched masks `allows(b, q, k)`; `spans(q)`, or `spans(b, q)`.
    """

    category = "attention"

    @property
    def shape(self) -> tuple[int, ...]:
        """`(seq_len, seq_len)`, from the field of that name."""
        return (self.seq_len, self.seq_len)  # type: ignore[attr-defined]

    def blocks(self, block_size: int = 128) -> BlockMap:
        """Which `block_size` x `block_size` blocks are empty, partial and full; exact, and small at any length."""
        from maskkit.blocks import block_map

        return block_map(self, block_size)

    def to_flex(self, block_size: int = 128, device: Any = None) -> Any:
        """The `BlockMask` of Torch's FlexAttention, equal in every array to what `create_block_mask` makes."""
        from maskkit.integrations.flex import block_mask

        return block_mask(self, block_size, device)

    def mask_mod(self, device: Any = None) -> Any:
        """A plain function (b, h, q, kv) for FlexAttention; its captured tensors live on the device (None: the cpu)."""
        from maskkit.integrations.flex import mask_mod

        return mask_mod(self, device)

    def export(self, form: str, **options: Any) -> Any:
        """The mask in the form of another library: "flex", "splash", "varlen", or one that a plugin adds.

        Args:
            form: the exporter's name.
            options: its own, see `maskkit.exporters`.

        Raises:
            ConfigError: no exporter has this name, or the form cannot hold the mask exactly.
        """
        from maskkit.exporters import exporter

        return exporter(form).export(self, **options)

    def cu_seqlens(self, causal: bool = False) -> npt.NDArray[np.int32]:
        """Where documents begin, and the length at the end: `[0, 3, 8]`, for attention of variable length.

        Args:
            causal: the mask is that of causal documents (for kernels with a causal flag of their own).

        Raises:
            ConfigError: the mask is not made of such documents; it names the first row that is not.
        """
        from maskkit.forms import cu_seqlens

        return cu_seqlens(self, causal)

    def fits(self) -> dict[str, Any]:
        """The exact cheap forms of the mask: form -> its value, or a `NoFit` that says why not."""
        from maskkit.forms import fits

        return fits(self)


class MaskGroup(Item):
    """A config that gives several masks at once. Subclasses are frozen attrs classes that define `masks`."""

    kind = "mask"
    category: ClassVar[str] = "attention"

    def masks(self) -> tuple[Mask, ...]:
        """The masks."""
        raise NotImplementedError(f"{type(self).__name__} must define masks()")

    def build(self) -> tuple[Mask, ...]:
        """The masks."""
        return self.masks()


def _combine(operation: str, *masks: Any) -> Mask:
    from maskkit.algebra import combine

    for mask in masks:
        if not isinstance(mask, Mask):
            _refuse_operand(mask)
    return combine(operation, *masks)


def _refuse_operand(other: Any) -> NoReturn:
    if is_array(other):
        raise TypeError(
            "a mask and an array do not combine, for the array does not say what True means; "
            'write maskkit.from_array(array, true="allowed") or true="blocked"'
        )
    raise TypeError(f"a mask combines with masks, got {type(other).__name__}")
