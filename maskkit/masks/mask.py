"""The mask: an immutable value that says which pairs, pixels or queries are allowed, and what users ask of it."""

from __future__ import annotations

import logging
from typing import Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt
from maskkit.arrays.dtypes import dtype_name, is_floating, lowest
from maskkit.arrays.libraries import is_array
from maskkit.errors import ConfigError
from maskkit.masks import dense
from maskkit.masks.blocks import BlockMap, block_map
from maskkit.masks.draw import figure, svg, text
from maskkit.masks.draw.picture import MaskPicture
from maskkit.masks.exports import fits, named, varlen
from maskkit.masks.pattern import Pattern
from maskkit.masks.stats import MaskMeasures, Stats, measure
from maskkit.registry.item import Item

log = logging.getLogger("maskkit.mask")

BLOCK_SIZE = 128
"""Tokens per block where nothing else is said: FlexAttention's default."""


class Mask(Pattern):
    """A set of allowed positions of an array of the given shape: the base of every mask.

    Subclasses are frozen attrs classes; what they define stands in `Pattern`.
    """

    __array_ufunc__ = None  # so that `array & mask` comes to us, who say what to write instead

    # -- arrays ---------------------------------------------------------------------------------------------------

    def allowed(self, backend: str = "numpy", dtype: Any = None, device: Any = None) -> Any:
        """The dense array: True (1 in other dtypes) where allowed.

        Args:
            backend: "numpy", "torch", "jax", "keras", or one that a plugin adds.
            dtype: a name, or a dtype of any library; None is bool, or that of `astype`.
            device: where the library puts it; None is its default.

        Raises:
            TooLarge: the array would be over `maskkit.limits.dense_bytes`.
        """
        return self._array(backend, self.array_dtype if dtype is None else dtype_name(dtype), device, on=1, off=0)

    def blocked(self, backend: str = "numpy", dtype: Any = None, device: Any = None) -> Any:
        """The complement of `allowed`, same arguments: True (1) where blocked."""
        return self._array(backend, self.array_dtype if dtype is None else dtype_name(dtype), device, on=0, off=1)

    def bias(self, dtype: Any = "float32", backend: str = "numpy", device: Any = None, finite: bool = False) -> Any:
        """What to add to attention scores: 0 where allowed, -inf (`finite`: the dtype's lowest number) where blocked.

        With -inf a plain softmax makes a row that allows nothing NaN; `finite=True` makes it uniform.
        """
        name = dtype_name(dtype)
        if not is_floating(name):
            raise ConfigError(f"a bias needs a floating dtype, got {name!r}; use allowed() or blocked() for others")
        return self._array(backend, name, device, on=0.0, off=lowest(name) if finite else -np.inf)

    def _array(self, backend: str, dtype: str, device: Any, *, on: float, off: float) -> Any:
        log.debug("materialising %s with shape %s as %s %s", type(self).__name__, self.shape, backend, dtype)
        return dense.array(self, backend, dtype, device, on=on, off=off)

    def astype(self, dtype: Any) -> Mask:
        """The same mask, whose arrays have this dtype where none is asked for: bool, an integer or a floating dtype."""
        return views.astype(self, dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = self.allowed(dtype=dtype)
        return array

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """`torch.nn.functional.scaled_dot_product_attention` takes a mask as `attn_mask`; no other function does."""
        from maskkit.masks.exports.sdpa import call_with_mask  # it imports Torch

        return call_with_mask(func, args, kwargs or {})

    # -- algebra --------------------------------------------------------------------------------------------------

    def __and__(self, other: Mask) -> Mask:
        """Allowed where both allow."""
        return algebra.combine("and", self, _operand(other))

    def __or__(self, other: Mask) -> Mask:
        """Allowed where either allows."""
        return algebra.combine("or", self, _operand(other))

    def __xor__(self, other: Mask) -> Mask:
        """Allowed where exactly one allows."""
        return algebra.combine("xor", self, _operand(other))

    def __invert__(self) -> Mask:
        """Allowed where this one blocks."""
        return algebra.combine("not", self)

    def __rand__(self, other: Any) -> NoReturn:
        _operand(other)
        raise AssertionError("a mask on the left has answered")

    __ror__ = __rxor__ = __rand__

    def __getitem__(self, key: Any) -> Any:
        """A lazy view by slices: `mask[-1:, :]` is the last query row; a batched mask takes an integer first."""
        return views.view(self, key)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a mask has no truth value; write `mask is not None`, `mask.stats().allowed > 0` or "
            "`numpy.asarray(mask).any()`, and `&`, `|`, `~` for `and`, `or`, `not`"
        )

    # -- pictures and figures -------------------------------------------------------------------------------------

    def stats(self, block_size: int = BLOCK_SIZE) -> Stats:
        """Density, rows that are fully blocked, blocks by kind, bytes of each form, attention FLOPs."""
        return measure(self, block_size if isinstance(self, AttentionMask) else None)

    def text(self, width: int = 80, height: int | None = None) -> str:
        """A picture for the terminal, in Unicode half blocks: full where allowed, blank where blocked."""
        return text.text(self, width, height)

    def plot(self, ax: Any = None, *, blocked: bool = False, title: str | None = None, cmap: Any = None) -> Any:
        """Draw on matplotlib axes (new ones if None), and return them; `blocked` shows the complement."""
        return figure.plot(self, ax, blocked=blocked, title=title, cmap=cmap)

    def _repr_svg_(self) -> str:
        return svg.svg(self)

    def _repr_html_(self) -> str:
        return self._repr_svg_()

    def picture(self, *, blocked: bool = False) -> MaskPicture:
        """What `maskkit render` draws."""
        return MaskPicture([self], [~self] if blocked else None)

    def measure(self, block_size: int | None = None) -> MaskMeasures:
        """What `maskkit stats` prints."""
        return MaskMeasures([(self, self.stats(BLOCK_SIZE if block_size is None else block_size))])


class AttentionMask(Mask):
    """Which keys a query may see: shape `(q_len, kv_len)`, or `(batch, q_len, kv_len)`.

    The predicate is `allows(q, k)`, for batched masks `allows(b, q, k)`; `spans(q)`, or `spans(b, q)`.
    """

    category = "attention"

    @property
    def shape(self) -> tuple[int, ...]:
        """`(seq_len, seq_len)`, from the field of that name."""
        return (self.seq_len, self.seq_len)  # type: ignore[attr-defined]

    def blocks(self, block_size: int = BLOCK_SIZE) -> BlockMap:
        """Which `block_size` x `block_size` blocks are empty, partial and full; exact, and small at any length."""
        return block_map(self, block_size)

    def to_flex(self, block_size: int = BLOCK_SIZE, device: Any = None) -> Any:
        """The `BlockMask` of Torch's FlexAttention, equal in every array to what `create_block_mask` makes."""
        return self.export("flex", block_size=block_size, device=device)

    def mask_mod(self, device: Any = None) -> Any:
        """A plain function (b, h, q, kv) for FlexAttention; its captured tensors live on the device (None: the cpu)."""
        from maskkit.masks.exports import flex  # it imports Torch

        return flex.mask_mod(self, device)

    def export(self, form: str, **options: Any) -> Any:
        """The mask in the form of another library: "flex", "varlen", or one that a plugin adds, such as "splash".

        Args:
            form: the exporter's name.
            options: its own, see `maskkit.masks.exports.named`.

        Raises:
            ConfigError: no exporter has this name, or the form cannot hold the mask exactly.
        """
        return named.exporter(form).export(self, **options)

    def cu_seqlens(self, causal: bool = False) -> npt.NDArray[np.int32]:
        """Where documents begin, and the length at the end: `[0, 3, 8]`, for attention of variable length.

        Args:
            causal: the mask is that of causal documents (for kernels with a causal flag of their own).

        Raises:
            ConfigError: the mask is not made of such documents; it names the first row that is not.
        """
        return varlen.cu_seqlens(self, causal)

    def fits(self) -> dict[str, Any]:
        """The exact cheap forms of the mask: form -> its value, or a `NoFit` that says why not."""
        return fits.fits(self)


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

    def picture(self, *, blocked: bool = False) -> MaskPicture:
        """The masks, one beside the other."""
        masks = list(self.masks())
        return MaskPicture(masks, [~mask for mask in masks] if blocked else None)

    def measure(self, block_size: int | None = None) -> MaskMeasures:
        """The figures of each."""
        return MaskMeasures(
            [(mask, mask.stats(BLOCK_SIZE if block_size is None else block_size)) for mask in self.masks()]
        )


def _operand(other: Any) -> Mask:
    """A mask, or an error that says what to write."""
    if isinstance(other, Mask):
        return other
    if is_array(other):
        raise TypeError(
            "a mask and an array do not combine, for the array does not say what True means; "
            'write maskkit.from_array(array, true="allowed") or true="blocked"'
        )
    raise TypeError(f"a mask combines with masks, got {type(other).__name__}")


# At the end, since they derive from what stands above: operators of masks give masks.
from maskkit.masks import algebra, views  # noqa: E402
