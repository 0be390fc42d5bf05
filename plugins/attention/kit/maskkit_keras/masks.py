"""Which keys a query may see, from all the ways in which callers say it: as a mask value, else as one boolean array."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from maskkit import ConfigError, Mask
from maskkit.arrays import host, is_array
from maskkit_keras.values import SCORES, MaskValue, Until, array_of, padding_of, through_keras

try:
    from keras.src.backend import get_keras_mask as _get_keras_mask
    from keras.src.backend import set_keras_mask as _set_keras_mask
except ImportError:  # an older Keras
    _get_keras_mask = _set_keras_mask = None


class Allowed(NamedTuple):
    """Which keys each query may see: those that all of these allow.

    Attributes:
        pairs: booleans that broadcast to (batch, heads, queries, keys), or None for all.
        causal: whether only those up to the query's own position; fused kernels need no array for it.
        mask: a mask value, or None for all; kernels read less where they know what it blocks.
    """

    pairs: Any = None
    causal: bool = False
    mask: Mask | None = None

    def __and__(self, other: Allowed) -> Allowed:
        """Allowed by both."""
        pairs = [p for p in (self.pairs, other.pairs) if p is not None]
        masks = [m for m in (self.mask, other.mask) if m is not None]
        return Allowed(
            reduce(ops.logical_and, pairs) if pairs else None,
            self.causal or other.causal,
            reduce(Mask.__and__, masks) if masks else None,
        )

    def cut(self, queries: slice = slice(None), keys: slice = slice(None)) -> Allowed:
        """The same of some of the queries and keys; not of causal ones, which are counted from the first."""
        assert not self.causal
        pairs, mask = (
            one if one is None else one[..., queries if one.shape[-2] > 1 else slice(None), keys]
            for one in (self.pairs, self.mask)
        )
        return Allowed(pairs, mask=mask)

    def dense(self, queries: Any, keys: Any) -> Any:
        """One boolean array that broadcasts to (batch, heads, queries, keys), or None for all."""
        found = [] if self.pairs is None else [self.pairs]
        if self.mask is not None:
            found.append(boolean(self.mask))
        if self.causal:
            found.append(causal_mask(queries, keys)[None, None])
        return reduce(ops.logical_and, found) if found else None

    def value(self, queries: int, keys: int) -> Mask | None:
        """All of it as one mask value; None if there is none, or beside it an array that only its numbers tell."""
        mask = self.mask
        if mask is None or mask.shape[-2:] != (queries, keys):
            return None
        if self.causal:
            mask = mask & Until(q_len=queries, kv_len=keys)
        if self.pairs is None:
            return mask
        padding = padding_of(self.pairs, queries)
        if padding is None:
            return None
        return mask if (padding.lengths == keys).all() else mask & padding.keys(queries)


def allowed_pairs(
    attention_mask: Any = None,
    key_mask: Any = None,
    use_causal_mask: bool = False,
    **sizes: Any,
) -> Allowed:
    """The three sources of a mask, ANDed.

    Args:
        attention_mask: a mask value or an array, as `scores_mask` takes it.
        key_mask: the mask that Keras carries along with the keys, (batch, keys).
        use_causal_mask: key `j` only for queries `i >= j`.
        sizes: of the scores, `batch`, `heads`, `queries` and `keys`, to check the masks against.
    """
    found = Allowed(None, bool(use_causal_mask))
    for name, mask in (("attention_mask", attention_mask), ("mask", key_mask)):
        if mask is not None:
            found = found & _one_source(mask, name, **sizes)
    return found


def _one_source(mask: Any, name: str, **sizes: Any) -> Allowed:
    """A mask value as it is, else booleans."""
    if isinstance(mask, Mask):
        mask = through_keras(mask)
    if not isinstance(mask, MaskValue):
        return Allowed(scores_mask(mask, name, **sizes))
    _check_sizes(mask.shape, name, **sizes)
    return Allowed(mask=mask.mask)


def scores_mask(
    mask: Any,
    name: str = "attention_mask",
    *,
    batch: Any = None,
    heads: Any = None,
    queries: Any = None,
    keys: Any = None,
) -> Any:
    """A mask as booleans that broadcast to the scores (batch, heads, queries, keys).

    The axes of a mask value have names, and these decide. The number of axes of an array says what they are.

    Args:
        mask: a mask value, or an array in which non-zero means allowed: (batch, keys), (batch, queries, keys) or
            (batch, heads, queries, keys); batch, heads and, of four axes, queries may be 1.
        name: of the argument, for errors.
        batch: the number of samples, to check the mask against; None (or unknown) checks nothing.
        heads: the number of heads, likewise; 1 for a layer without heads.
        queries: the number of queries, likewise.
        keys: the number of keys, likewise.

    Raises:
        ConfigError: any other rank than 2, 3 and 4; entries that `boolean` refuses; a size that does not fit.
    """
    mask = boolean(mask, name)
    axes = {2: ("batch", "key"), 3: ("batch", "query", "key"), 4: SCORES}.get(len(mask.shape))
    if axes is None:
        raise ConfigError(
            f"Parameter '{name}' must have the shape (batch, keys), (batch, queries, keys) or "
            f"(batch, heads, queries, keys), got {tuple(mask.shape)}"
        )
    mask = mask[tuple(slice(None) if axis in axes else None for axis in SCORES)]
    _check_sizes(mask.shape, name, batch, heads, queries, keys)
    return mask


def boolean(mask: Any, name: str = "attention_mask") -> Any:
    """A mask value or an array as booleans of Keras' backend: what is not zero is allowed.

    Raises:
        ConfigError: floats other than 0 and 1, or negative integers. Only where the numbers are at hand: in a compiled
            call, and on an accelerator, which would have to be waited for, they count as allowed.
    """
    mask = MaskValue.unwrap(mask)
    if isinstance(mask, Mask):
        mask = array_of(mask)
    if not is_array(mask):
        mask = np.asarray(mask)
    _refuse_no_flags(mask, name)
    return ops.cast(ops.convert_to_tensor(mask), "bool")


def carried_mask(x: Any) -> Any:
    """The mask that Keras carries along with a tensor, or None."""
    # No attribute of JAX' tracers, so Keras keeps theirs in a list of its own.
    return getattr(x, "_keras_mask", None) if _get_keras_mask is None else _get_keras_mask(x)


def carry_mask(x: Any, mask: Any) -> Any:
    """A tensor, with the mask that it is to carry along."""
    if _set_keras_mask is None:
        x._keras_mask = mask
    else:
        _set_keras_mask(x, mask)
    return x


def token_mask(*masks: Any) -> Any:
    """Which tokens the masks of rank 2 keep, as booleans (batch, tokens); None if there is no such mask.

    In self-attention these are masks of queries too: a dropped token takes no part in what queries decide together.
    """
    given = [mask for mask in masks if not (mask is None or isinstance(mask, MaskValue))]
    found = [mask for mask in map(boolean, given) if len(mask.shape) == 2]
    return ops.logical_and(*found) if len(found) == 2 else (found or [None])[0]


def causal_mask(queries: Any, keys: Any) -> Any:
    """Booleans (queries, keys): key `j` is allowed for query `i` if `j <= i`, whatever the two lengths."""
    return ops.arange(keys, dtype="int32")[None, :] <= ops.arange(queries, dtype="int32")[:, None]


def pixel_mask(
    mask: Any, name: str = "attention_mask", size: tuple[Any, Any] | None = None, *, batch: Any = None
) -> Any:
    """A mask of pixels, (batch, height, width) or flat (batch, pixels), as booleans (batch, pixels).

    Args:
        mask: a mask value or an array in which non-zero means allowed.
        name: of the argument, for errors.
        size: (height, width) of the map, to check the mask against; None (or unknown sizes) checks nothing.
        batch: the number of maps, likewise; the mask's may be 1.
    """
    mask = boolean(mask, name)
    given = tuple(mask.shape)
    if len(given) not in (2, 3):
        raise ConfigError(
            f"Parameter '{name}' must have the shape (batch, height, width) or (batch, pixels), got {given}"
        )
    if size and all(isinstance(axis, int) for axis in (*size, *given[1:])):
        height, width = size
        if given[1:] not in ((height, width), (height * width,)):
            raise ConfigError(
                f"Parameter '{name}' must have the shape (batch, {height}, {width}) or (batch, {height * width}), "
                f"as the map has, got {given}"
            )
    _check_shared(given[0], batch, name, "batch {} of the mask against {} samples")
    return mask if len(given) == 2 else ops.reshape(mask, (ops.shape(mask)[0], ops.shape(mask)[1] * ops.shape(mask)[2]))


def allowed_pixels(
    attention_mask: Any = None, mask: Any = None, *, size: tuple[Any, Any] | None = None, batch: Any = None
) -> Any:
    """The two sources of a mask of pixels, ANDed: booleans (batch, pixels), or None for all.

    Args:
        attention_mask: as `pixel_mask` takes it.
        mask: the mask that Keras carries along, likewise.
        size: (height, width) of the map, to check both against.
        batch: the number of maps, likewise.
    """
    given = {"attention_mask": attention_mask, "mask": mask}
    found = [pixel_mask(value, name, size, batch=batch) for name, value in given.items() if value is not None]
    return ops.logical_and(*found) if len(found) == 2 else (found or [None])[0]


def is_of_pixels(mask: Any, size: tuple[Any, Any]) -> bool:
    """Whether a mask, as `boolean` gives it, is of the pixels of a map; else it is of pairs of them.

    Three axes mean a map if they are the map's, for the two ways differ on all maps but those of one pixel.
    """
    return len(mask.shape) == 2 or (len(mask.shape) == 3 and tuple(ops.shape(mask)[1:]) == tuple(size))


def _refuse_no_flags(mask: Any, name: str) -> None:
    """As booleans an additive mask would allow what it blocks, and features or probabilities nearly everything."""
    if "bool" in str(mask.dtype) or (numbers := host(mask)) is None:
        return
    wrong = numbers < 0 if numbers.dtype.kind in "iu" else (numbers != 0) & (numbers != 1)
    if not wrong.any():
        return
    if (numbers < 0).any():
        cure = "it has negative entries, so it is an additive mask: give `mask == 0`"
    else:
        cure = "say from where on they allow: give `mask > 0.5`, or what it is that you mean"
    got = f"{numbers.dtype} with the entry {numbers[wrong].flat[0]:g}"
    raise ConfigError(f"Parameter '{name}' must be booleans, or numbers that are 0 or 1, got {got}; {cure}")


def _check_shared(given: Any, size: Any, name: str, text: str) -> None:
    """An axis of the mask is as long as that of the scores, or 1 for all."""
    if isinstance(given, int) and isinstance(size, int) and given not in (1, size):
        raise ConfigError(f"Parameter '{name}' does not fit: {text.format(given, size)} (1 serves all)")


def _check_sizes(
    shape: Any, name: str, batch: Any = None, heads: Any = None, queries: Any = None, keys: Any = None
) -> None:
    """Broadcasting would hide a mask of the wrong length."""
    samples, own_heads, rows, columns = shape
    _check_shared(samples, batch, name, "batch {} of the mask against {} samples")
    _check_shared(own_heads, heads, name, "{} heads of the mask against {}")
    wrong = isinstance(keys, int) and isinstance(columns, int) and columns != keys
    wrong |= isinstance(queries, int) and isinstance(rows, int) and rows not in (1, queries)
    if wrong:
        raise ConfigError(
            f"Parameter '{name}' is for {rows} queries and {columns} keys, but there are {queries} queries and "
            f"{keys} keys (an array (queries, keys) for the whole batch goes in as array[None])"
        )
