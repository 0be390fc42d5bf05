"""Which keys a query may see, from all the ways in which callers say it, as one boolean array."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops
from maskkit import AttentionMask, ConfigError, Mask, is_of_tokens
from maskkit.arrays import host, is_array

try:
    from keras.src.backend import get_keras_mask as _get_keras_mask
    from keras.src.backend import set_keras_mask as _set_keras_mask
except ImportError:  # an older Keras
    _get_keras_mask = _set_keras_mask = None


SCORES = ("batch", "head", "query", "key")
"""The axes of attention scores, in order; every mask of scores has them all, of size 1 where it has none of its own."""


class Allowed(NamedTuple):
    """Which keys each query may see: those of `pairs`, and with `causal` only those up to its own position.

    Attributes:
        pairs: booleans that broadcast to (batch, heads, queries, keys), or None for all.
        causal: kept apart from `pairs`, for fused kernels need no array for it.
    """

    pairs: Any = None
    causal: bool = False

    def __and__(self, other: Allowed) -> Allowed:
        """Allowed by both."""
        pairs = [p for p in (self.pairs, other.pairs) if p is not None]
        both = ops.logical_and(*pairs) if len(pairs) == 2 else (pairs or [None])[0]
        return Allowed(both, self.causal or other.causal)

    def dense(self, queries: Any, keys: Any) -> Any:
        """One boolean array that broadcasts to (batch, heads, queries, keys), or None for all."""
        if not self.causal:
            return self.pairs
        causal = causal_mask(queries, keys)
        return causal if self.pairs is None else ops.logical_and(self.pairs, causal)


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
            found = found & Allowed(scores_mask(mask, name, **sizes))
    return found


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
        ConfigError: any other rank than 2, 3 and 4; negative entries, as additive masks have; a size that does not fit.
    """
    mask = boolean(mask, name)
    axes = {2: ("batch", "key"), 3: ("batch", "query", "key"), 4: SCORES}.get(len(mask.shape))
    if axes is None:
        raise ConfigError(
            f"Parameter '{name}' must have the shape (batch, keys), (batch, queries, keys) or "
            f"(batch, heads, queries, keys), got {tuple(mask.shape)}"
        )
    mask = _with_all_axes(mask, axes)
    _check_shared(mask.shape[0], batch, name, "batch {} of the mask against {} samples")
    _check_shared(mask.shape[1], heads, name, "{} heads of the mask against {}")
    _check_size(mask, queries, keys, name)
    return mask


def _with_all_axes(array: Any, axes: tuple[str, ...]) -> Any:
    """An array whose axes are some of `SCORES`, in that order, with those that it lacks."""
    return array[tuple(slice(None) if axis in axes else None for axis in SCORES)]


def boolean(mask: Any, name: str = "attention_mask") -> Any:
    """A mask value or an array as booleans of Keras' backend: what is not zero is allowed."""
    if isinstance(mask, Mask):
        mask = array_of(mask)
    if not is_array(mask):
        mask = np.asarray(mask)
    _refuse_additive(mask, name)
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


def array_of(mask: Mask) -> Any:
    """The array of a mask value, whose number of axes says what they are.

    Of queries and keys it has all four axes, (batch, heads, queries, keys), with 1 where the mask has none; of padding
    (batch, keys); of pixels (batch, height, width).
    """
    attention = isinstance(mask, AttentionMask)
    array = mask.allowed("numpy" if mask.on_host else "keras", form="heads" if attention else None)
    return array if attention or len(mask.shape) > 2 or is_of_tokens(mask) else array[None]


def token_mask(*masks: Any) -> Any:
    """Which tokens the masks of rank 2 keep, as booleans (batch, tokens); None if there is no such mask.

    In self-attention these are masks of queries too: a dropped token takes no part in what queries decide together.
    """
    found = [mask for mask in map(boolean, (m for m in masks if m is not None)) if len(mask.shape) == 2]
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


def _refuse_additive(mask: Any, name: str) -> None:
    """Casting an additive mask to booleans would allow what it blocks. Looked at only where that waits for nobody."""
    if "float" in str(mask.dtype) and host(ops.any(mask < 0)):
        raise ConfigError(
            f"Parameter '{name}' must be booleans, or numbers in which non-zero means allowed; "
            "it has negative entries, so it is an additive mask: give `mask == 0`"
        )


def _check_shared(given: Any, size: Any, name: str, text: str) -> None:
    """An axis of the mask is as long as that of the scores, or 1 for all."""
    if isinstance(given, int) and isinstance(size, int) and given not in (1, size):
        raise ConfigError(f"Parameter '{name}' does not fit: {text.format(given, size)} (1 serves all)")


def _check_size(pairs: Any, queries: Any, keys: Any, name: str) -> None:
    """Broadcasting would hide a mask of the wrong length."""
    rows, columns = pairs.shape[-2:]
    wrong = isinstance(keys, int) and isinstance(columns, int) and columns != keys
    wrong |= isinstance(queries, int) and isinstance(rows, int) and rows not in (1, queries)
    if wrong:
        raise ConfigError(
            f"Parameter '{name}' is for {rows} queries and {columns} keys, but there are {queries} queries and "
            f"{keys} keys (an array (queries, keys) for the whole batch goes in as array[None])"
        )
