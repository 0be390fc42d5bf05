"""Which keys a query may see, from all the ways in which callers say it, as one boolean array."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops
from maskkit import ConfigError, Mask, is_of_tokens
from maskkit.arrays import host, is_array

try:
    from keras.src.backend import get_keras_mask as _get_keras_mask
except ImportError:  # an older Keras
    _get_keras_mask = None


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
    *,
    queries: Any = None,
    keys: Any = None,
) -> Allowed:
    """The three sources of a mask, ANDed.

    Args:
        attention_mask: a mask value, or an array in which non-zero means allowed: (batch, keys), (batch, queries, keys)
            or (batch, heads, queries, keys); batch and heads may be 1.
        key_mask: the mask that Keras carries along with the keys, (batch, keys).
        use_causal_mask: key `j` only for queries `i >= j`.
        queries: the number of queries, to check the masks against; None (or unknown) checks nothing.
        keys: the number of keys, likewise.
    """
    found = Allowed(None, bool(use_causal_mask))
    for name, mask in (("attention_mask", attention_mask), ("mask", key_mask)):
        if mask is not None:
            pairs = by_rank(mask, name)
            _check_size(pairs, queries, keys, name)
            found = found & Allowed(pairs)
    return found


def by_rank(mask: Any, name: str = "attention_mask") -> Any:
    """A mask as booleans that broadcast to (batch, heads, queries, keys); its number of axes says what it means.

    Raises:
        ConfigError: any other rank than 2, 3 and 4; negative entries, as additive masks have.
    """
    mask = boolean(mask, name)
    rank = len(mask.shape)
    if rank == 2:
        return mask[:, None, None, :]
    if rank == 3:
        return mask[:, None, :, :]
    if rank == 4:
        return mask
    raise ConfigError(
        f"Parameter '{name}' must have the shape (batch, keys), (batch, queries, keys) or "
        f"(batch, heads, queries, keys), got {tuple(mask.shape)}"
    )


def boolean(mask: Any, name: str = "attention_mask") -> Any:
    """A mask value or an array as booleans of Keras' backend: what is not zero is allowed."""
    if isinstance(mask, Mask):
        mask = with_batch(mask)
    if not is_array(mask):
        mask = np.asarray(mask)
    _refuse_additive(mask, name)
    return ops.cast(ops.convert_to_tensor(mask), "bool")


def carried_mask(x: Any) -> Any:
    """The mask that Keras carries along with a tensor, or None."""
    # No attribute of JAX' tracers, so Keras keeps theirs in a list of its own.
    return getattr(x, "_keras_mask", None) if _get_keras_mask is None else _get_keras_mask(x)


def with_batch(mask: Mask) -> Any:
    """The array of a mask value, with a batch axis: (q, k) -> (1, q, k), (H, W) -> (1, H, W); padding has one."""
    array = mask.allowed("numpy" if mask.on_host else "keras")
    return array if len(mask.shape) > 2 or is_of_tokens(mask) else array[None]


def token_mask(*masks: Any) -> Any:
    """Which tokens the masks of rank 2 keep, as booleans (batch, tokens); None if there is no such mask.

    In self-attention these are masks of queries too: a dropped token takes no part in what queries decide together.
    """
    found = [mask for mask in map(boolean, (m for m in masks if m is not None)) if len(mask.shape) == 2]
    return ops.logical_and(*found) if len(found) == 2 else (found or [None])[0]


def causal_mask(queries: Any, keys: Any) -> Any:
    """Booleans (queries, keys): key `j` is allowed for query `i` if `j <= i`, whatever the two lengths."""
    return ops.arange(keys, dtype="int32")[None, :] <= ops.arange(queries, dtype="int32")[:, None]


def pixel_mask(mask: Any, name: str = "attention_mask", size: tuple[Any, Any] | None = None) -> Any:
    """A mask of pixels, (batch, height, width) or flat (batch, pixels), as booleans (batch, pixels).

    Args:
        mask: a mask value or an array in which non-zero means allowed.
        name: of the argument, for errors.
        size: (height, width) of the map, to check the mask against; None (or unknown sizes) checks nothing.
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
    return mask if len(given) == 2 else ops.reshape(mask, (ops.shape(mask)[0], -1))


def allowed_pixels(attention_mask: Any = None, mask: Any = None, *, size: tuple[Any, Any] | None = None) -> Any:
    """The two sources of a mask of pixels, ANDed: booleans (batch, pixels), or None for all.

    Args:
        attention_mask: as `pixel_mask` takes it.
        mask: the mask that Keras carries along, likewise.
        size: (height, width) of the map, to check both against.
    """
    given = {"attention_mask": attention_mask, "mask": mask}
    found = [pixel_mask(value, name, size) for name, value in given.items() if value is not None]
    return ops.logical_and(*found) if len(found) == 2 else (found or [None])[0]


def _refuse_additive(mask: Any, name: str) -> None:
    """Casting an additive mask to booleans would allow what it blocks. Looked at only where that waits for nobody."""
    if "float" in str(mask.dtype) and host(ops.any(mask < 0)):
        raise ConfigError(
            f"Parameter '{name}' must be booleans, or numbers in which non-zero means allowed; "
            "it has negative entries, so it is an additive mask: give `mask == 0`"
        )


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
