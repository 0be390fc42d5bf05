"""The mask: an immutable value that says which pairs, pixels or queries are allowed, and what users ask of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt
from maskkit.arrays.dtypes import dtype_name, is_floating, lowest
from maskkit.arrays.fields import as_plain
from maskkit.arrays.libraries import constant_in_graphs, fetched, is_array
from maskkit.errors import ConfigError
from maskkit.masks import dense, exports
from maskkit.masks.axes import HEADS, in_form
from maskkit.masks.blocks import BlockMap, block_map
from maskkit.masks.draw import figure, svg, text
from maskkit.masks.draw.picture import MaskPicture
from maskkit.masks.exports import fits, varlen
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

    def allowed(self, backend: str = "numpy", dtype: Any = None, device: Any = None, **form: Any) -> Any:
        """The dense array: True (1 in other dtypes) where allowed.

        Args:
            backend: "numpy", "torch", "jax", "keras", or one that a plugin adds.
            dtype: a name, or a dtype of any library; None is bool, or that of `astype`.
            device: where the library puts it; None is its default.
            form: which axes the array has. None, the default: those of the mask. "heads": batch, head, query, key, with
                1 where the mask has none, for functions that read attention scores. "mha": (query, key) for a mask
                without others, else (batch * heads, query, key), for `torch.nn.MultiheadAttention`.
            heads, batch: with form="mha", how many there are.

        Raises:
            TooLarge: the array would be over `maskkit.limits.dense_bytes`.
            ConfigError: the form does not hold the mask, or needs a number that is not given.
        """
        return self._array(backend, dtype, device, form, on=1, off=0)

    def blocked(self, backend: str = "numpy", dtype: Any = None, device: Any = None, **form: Any) -> Any:
        """The complement of `allowed`, same arguments: True (1) where blocked.

        `torch.nn.MultiheadAttention` takes `mask.blocked("torch", form="mha", heads=H)`. It makes a row that sees
        nothing NaN; a `bias` with `finite=True` in the same form makes it uniform.
        """
        return self._array(backend, dtype, device, form, on=0, off=1)

    def bias(
        self,
        dtype: Any = "float32",
        backend: str = "numpy",
        device: Any = None,
        finite: bool = False,
        **form: Any,
    ) -> Any:
        """What to add to attention scores: 0 where allowed, -inf (`finite`: the dtype's lowest number) where blocked.

        With -inf a plain softmax makes a row that allows nothing NaN; `finite=True` makes it uniform. The form is that
        of `allowed`.
        """
        name = dtype_name(dtype)
        if not is_floating(name):
            raise ConfigError(f"a bias needs a floating dtype, got {name!r}; use allowed() or blocked() for others")
        return self._array(backend, name, device, form, on=0.0, off=lowest(name) if finite else -np.inf)

    def _array(self, backend: str, dtype: Any, device: Any, form: dict[str, Any], *, on: float, off: float) -> Any:
        name = self.array_dtype if dtype is None else dtype_name(dtype)
        return _made(self, backend, name, device, tuple(form.items()), on, off)

    def astype(self, dtype: Any) -> Mask:
        """The same mask, whose arrays have this dtype where none is asked for: bool, an integer or a floating dtype."""
        return views.astype(self, dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = self.allowed(dtype=dtype, form="heads" if _asked_for_heads() else None)
        return array

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """`torch.nn.functional.scaled_dot_product_attention` takes a mask as `attn_mask`; no other function does."""
        from maskkit.masks.exports.sdpa import call_with_mask  # it imports Torch

        return call_with_mask(func, args, kwargs or {})

    @property
    def detach(self) -> NoReturn:
        """Asked for by Torch's `state_dict`, of a mask that was registered as a buffer."""
        raise AttributeError(
            "a mask is no tensor: keep it as an attribute of the module, not as a buffer; into the state goes "
            "maskkit.to_dict(mask), by the module's get_extra_state"
        )

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

    def keys(self, q_len: int | None = None) -> Mask:
        """A mask of tokens, such as padding, said of the keys: `(batch, query, key)`, the same for every query.

        `q_len` is the number of queries; None is that of the tokens.
        """
        return views.of_tokens(self, "key", q_len)

    def queries(self, k_len: int | None = None) -> Mask:
        """The same said of the queries, of which those that are blocked see nothing; `k_len` is the number of keys."""
        return views.of_tokens(self, "query", k_len)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a mask has no truth value; write `mask is not None`, `mask.stats().allowed > 0` or "
            "`numpy.asarray(mask).any()`, and `&`, `|`, `~` for `and`, `or`, `not`"
        )

    # -- inside of Keras models -----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The fields as plain data, as Keras saves them with a model that holds the mask."""
        return {a.alias: _plain(getattr(self, a.name)) for a in self.__attrs_attrs__ if a.init}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Mask:
        """The mask of `get_config`."""
        return cls(**{name: _read(value) for name, value in config.items()})

    @classmethod
    def recognize(cls, spans: Any) -> dict[str, Any] | None:
        """The parameters of the smallest mask of this class that allows all that `spans` do; None if there is none.

        For whoever looks for the name of a mask that was seen: of every class it asks this guess, and compares what the
        parameters give. The smallest one, so that the parts of a combination are found too: `causal` and a window, say.

        Args:
            spans: in which something is allowed; of attention `(rows,)` or, of several samples, `(batch, rows)`, as
                many rows as keys unless the class has a parameter for the other (`q_len`, `k_len`, `key_ids`); else of
                the mask's own axes but the last.
        """
        return None

    # -- forms of other libraries ---------------------------------------------------------------------------------

    def export(self, form: str, **options: Any) -> Any:
        """The mask in the form of another library: "flex", "varlen", or one that a plugin adds, such as "splash".

        Args:
            form: the exporter's name; "?" gives every installed form -> True, or a `NoFit` that says why not.
            options: its own, see `maskkit.masks.exports.fits`.

        Raises:
            ConfigError: no exporter has this name, or the form cannot hold the mask exactly.
        """
        return fits.forms(self) if form == "?" else fits.exporter(form).export(self, **options)

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

    def svg(self, title: str | None = None) -> str:
        """An SVG document: dark where allowed; `title` stands over it, None is the mask as it prints."""
        return svg.svg(self, title)

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return self._repr_svg_()

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """What `rich.print(mask)` shows: the mask as it prints, and its picture."""
        from rich.text import Text

        yield Text(repr(self))
        yield Text(self.text(options.max_width), no_wrap=True)

    def picture(self, *, blocked: bool = False, samples: int | None = None) -> MaskPicture:
        """What `maskkit render` draws; of a batch or of heads at most so many `samples`, None for a few."""
        return MaskPicture([self], blocked, samples)

    def save(self, path: str | PathLike[str], *, blocked: bool = False) -> None:
        """Write the mask to a file, which is whole or stays as it was; `blocked` writes the complement.

        Args:
            path: its suffix says what is written: a picture (png, svg, pdf, txt), the array (npy, npz), or the mask
                itself (json, yaml), which `maskkit.load` reads.

        Raises:
            ConfigError: the suffix is another.
            OSError: the file cannot be written.
        """
        assert exports.write is not None
        exports.write(Path(path), self, self.picture(blocked=blocked), blocked)

    def measure(self, block_size: int | None = None) -> MaskMeasures:
        """What `maskkit stats` prints."""
        return MaskMeasures([self], block_size)


class AttentionMask(Mask):
    """Which keys a query may see: axes query and key, and before them batch, head, or both.

    The predicate takes an index for each, `allows(q, k)` or `allows(b, h, q, k)`; `spans` all but the last.
    """

    category = "attention"

    @property
    def axes(self) -> tuple[str, ...]:
        """`("query", "key")`, unless a class names others."""
        return HEADS[-2:]

    @property
    def shape(self) -> tuple[int, ...]:
        """`(seq_len, seq_len)`, from the field of that name."""
        return (self.seq_len, self.seq_len)  # type: ignore[attr-defined]

    def at(self, query: Any = None, key: Any = None) -> Mask:
        """The mask at other positions: of texts that are padded before, start again in one row, or lie in pages.

        Args:
            query: integers (q_len,) or (batch, q_len) of any array library, the position of each query in the text that
                the mask speaks of; None keeps them. A negative position is nowhere, and sees nothing.
            key: the same of the keys; a negative one is seen by nothing.

        Raises:
            ConfigError: a position is beyond the mask's, or the batches differ.
        """
        return views.At(self, query, key) if not (query is None and key is None) else self

    @property
    def T(self) -> Mask:  # noqa: N802
        """Queries and keys exchanged."""
        return self.base if isinstance(self, views.Transposed) else views.Transposed(self)

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

    def picture(self, *, blocked: bool = False, samples: int | None = None) -> MaskPicture:
        """The masks, one beside the other."""
        return MaskPicture(self.masks(), blocked, samples)

    def measure(self, block_size: int | None = None) -> MaskMeasures:
        """The figures of each."""
        return MaskMeasures(self.masks(), block_size)


def _asked_for_heads() -> bool:
    """Whether `dot_product_attention` of Keras or JAX is making an array of a mask, which it reads by head.

    Both do it out of sight, and take (batch, query, key) for (head, query, key) without a word.
    """
    frame: Any = sys._getframe(2)
    for _ in range(_FRAMES_TO_ATTENTION):
        if frame is None:
            return False
        if frame.f_code.co_name in _ATTENTION and frame.f_globals.get("__name__", "").startswith(("keras.", "jax.")):
            return True
        frame = frame.f_back
    return False


_ATTENTION = ("dot_product_attention", "_dot_product_attention")
_FRAMES_TO_ATTENTION = 12


def _plain(value: Any) -> Any:
    """A field of a config: masks in it with the full names of their classes, for two plugins may share a short one."""
    if isinstance(value, Mask):
        return {"mask": _full_name(type(value)), **value.get_config()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return as_plain(fetched(value)) if is_array(value) else value


@constant_in_graphs
def _made(mask: Mask, backend: str, dtype: str, device: Any, form: Any, on: float, off: float) -> Any:
    log.debug("materialising %s with shape %s as %s %s", type(mask).__name__, mask.shape, backend, dtype)
    return in_form(mask, dense.array(mask, backend, dtype, device, on=on, off=off), **dict(form))


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _read(value: Any) -> Any:
    """The field again."""
    if isinstance(value, dict) and "mask" in value:
        cls = next((cls for cls in Mask.subclasses() if _full_name(cls) == value["mask"]), None)
        if cls is None:
            raise ConfigError(f"no class of masks named {value['mask']!r} is loaded; import the plugin that has it")
        return cls.from_config({name: field for name, field in value.items() if name != "mask"})
    return tuple(map(_read, value)) if isinstance(value, (list, tuple)) else value


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
