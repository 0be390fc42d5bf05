"""What transformers asks of a mask, as a mask value: its mask functions recognised, or evaluated."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from attrs import frozen
from maskkit_mask_banded import Banded
from maskkit_mask_block_diagonal import BlockDiagonal
from maskkit_mask_causal import Causal
from maskkit_mask_chunked import Chunked
from maskkit_mask_document import Document
from maskkit_mask_key_padding import KeyPadding
from maskkit_mask_sliding_window import SlidingWindow
from transformers import masking_utils as theirs
from maskkit import Mask, from_array
from maskkit.arrays import fetched
from maskkit_transformers.texts import Texts

Pattern = Mask | bool
"""A mask, or True where all is allowed, or False where nothing is."""


@frozen(eq=False)
class Extent:
    """Of which queries and keys a mask is asked for, among all tokens of the rows of a batch.

    Attributes:
        batch: number of rows.
        rows, columns: the queries and the keys, as slices with start and stop.
        device: where the model is.
    """

    batch: int
    rows: slice
    columns: slice
    device: Any = "cpu"

    @property
    def tokens(self) -> int:
        """Of a row, as far as any are asked for."""
        return max(self.rows.stop, self.columns.stop)

    def cut(self, mask: Mask) -> Mask:
        """These queries and keys, of a mask of all tokens."""
        return mask[..., self.rows, self.columns]


class _Unknown(Exception):
    """A function that transformers has not defined, or not as it is known here."""


def pattern(function: Callable[..., Any], extent: Extent, use_vmap: bool = False) -> Pattern:
    """What a mask function of transformers allows: exactly, by recognising what it is made of, else by calling it.

    Args:
        function: `(batch index, head index, query index, key index)` gives a bool; what `create_causal_mask` and its
            like hand to a mask interface.
        extent: the queries and keys that are asked for.
        use_vmap: whether the function takes single indices alone.
    """
    try:
        return _recognised(function, extent)
    except _Unknown:
        return _evaluated(function, extent, use_vmap)


# -- recognised -------------------------------------------------------------------------------------------------------


def _recognised(function: Callable[..., Any], extent: Extent) -> Pattern:
    kind, held = _taken_apart(function)
    if kind not in _KNOWN:
        raise _Unknown
    return _KNOWN[kind](extent, **held)


def _taken_apart(function: Any) -> tuple[Any, dict[str, Any]]:
    """The code of a function, and what it holds by name."""
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None) or ()
    return code, dict(zip(code.co_freevars, (cell.cell_contents for cell in cells), strict=True)) if code else {}


def _code(make: Callable[..., Any], *arguments: Any) -> Any:
    """The code of the functions that one of theirs makes."""
    return make(*arguments).__code__


_NOTHING = torch.zeros(1, 1, dtype=torch.long)
_CAUSAL = theirs.causal_mask_function.__code__
_AND = _code(theirs.and_masks)
_OR = _code(theirs.or_masks)
_WINDOW = _code(theirs.sliding_window_overlay, 1)
_CHUNK = _code(theirs.chunked_overlay, 1, _NOTHING)
_PACKED = _code(theirs.packed_sequence_mask_function, _NOTHING)
_REMAPPED = _code(theirs.remap_positions_for_packed_sequence, theirs.causal_mask_function, _NOTHING)


def _causal(extent: Extent) -> Pattern:
    return extent.cut(Causal(seq_len=extent.tokens))


def _all(extent: Extent) -> Pattern:
    return True


def _and(extent: Extent, mask_functions: Any) -> Pattern:
    apart = dict(map(_taken_apart, mask_functions))
    if len(apart) == len(mask_functions) == 2:
        if set(apart) == {_WINDOW, _CAUSAL}:
            return extent.cut(SlidingWindow(seq_len=extent.tokens, window_size=apart[_WINDOW]["sliding_window"]))
        if set(apart) == {_CHUNK, _CAUSAL}:
            return _in_chunks(extent, Chunked, **apart[_CHUNK])
        if set(apart) == {_PACKED, _REMAPPED}:
            return _packed(extent, **apart[_PACKED], **apart[_REMAPPED])
    return reduce(both, (_recognised(function, extent) for function in mask_functions), True)


def _or(extent: Extent, mask_functions: Any) -> Pattern:
    return reduce(_either, (_recognised(function, extent) for function in mask_functions), False)


def _after(extent: Extent, sliding_window: int) -> Pattern:
    """A window whose one end is open: what comes later is allowed."""
    size = extent.tokens
    return extent.cut(SlidingWindow(seq_len=size, window_size=sliding_window) | ~Causal(seq_len=size))


def _band(extent: Extent, sliding_window: int) -> Pattern:
    return extent.cut(Banded(seq_len=extent.tokens, band_width=2 * sliding_window + 1))


def _chunk(extent: Extent, chunk_size: int, left_padding: Any) -> Pattern:
    return _in_chunks(extent, BlockDiagonal, chunk_size, left_padding)


def _in_chunks(extent: Extent, cls: Any, chunk_size: int, left_padding: Any) -> Pattern:
    """Chunks that begin where the padding ends."""
    padding, tokens = fetched(left_padding), extent.tokens
    size = "chunk_size" if cls is Chunked else "block_size"
    mask = cls(seq_len=tokens, **{size: chunk_size})
    if not padding.any():
        return extent.cut(mask)
    real = np.arange(tokens) >= np.broadcast_to(padding, (extent.batch,))[:, None]
    return Texts.of_padding(real).lay(mask, extent.rows, extent.columns)


def _blocks(extent: Extent, block_sequence_ids: Any) -> Pattern:
    """Tokens of one block see each other; those of no block have a negative number."""
    ids = _of_tokens(block_sequence_ids, extent, -1)
    if (ids < 0).all():
        return False
    queries, keys = ids[:, extent.rows], ids[:, extent.columns]
    return Document(ids=np.where(queries < 0, -1, queries), key_ids=np.where(keys < 0, -2, keys))


def _padding(extent: Extent, padding_mask: Any) -> Pattern:
    return visible(_of_tokens(padding_mask, extent, 0) != 0, extent)


def _same_text(extent: Extent, packed_sequence_mask: Any) -> Pattern:
    ids = _of_tokens(packed_sequence_mask, extent, -1)
    return Document(ids=ids[:, extent.rows], key_ids=ids[:, extent.columns])


def _packed(extent: Extent, packed_sequence_mask: Any, mask_function: Any, position_ids: Any) -> Pattern:
    """A mask of positions, in each of the texts of a row."""
    texts = packed_texts(extent, packed_sequence_mask, position_ids)
    size = slice(0, texts.length)
    base = _recognised(mask_function, Extent(1, size, size))
    apart = texts.apart(extent.rows, extent.columns)
    if isinstance(base, bool):
        return base and apart
    if "batch" in base.axes:
        raise _Unknown
    if base.period == 1 and texts.whole:  # distance alone counts, wherever a text begins
        return both(apart, _recognised(mask_function, extent))
    return both(apart, texts.lay(base, extent.rows, extent.columns))


_KNOWN: dict[Any, Callable[..., Pattern]] = {
    _CAUSAL: _causal,
    theirs.bidirectional_mask_function.__code__: _all,
    _AND: _and,
    _OR: _or,
    _WINDOW: _after,
    _code(theirs.sliding_window_bidirectional_overlay, 1): _band,
    _CHUNK: _chunk,
    _code(theirs.blockwise_overlay, _NOTHING): _blocks,
    _code(theirs.padding_mask_function, _NOTHING): _padding,
    _PACKED: _same_text,
}


def both(a: Pattern, b: Pattern) -> Pattern:
    """Allowed where both allow."""
    if isinstance(a, bool) or isinstance(b, bool):
        return (b if a else False) if isinstance(a, bool) else (a if b else False)
    return operator.and_(a, b)


def _either(a: Pattern, b: Pattern) -> Pattern:
    """Allowed where either allows."""
    if isinstance(a, bool) or isinstance(b, bool):
        return (True if a else b) if isinstance(a, bool) else (True if b else a)
    return operator.or_(a, b)


def _of_tokens(values: Any, extent: Extent, other: int) -> Any:
    """A tensor (batch or 1, tokens) as an array of integers of all rows and tokens; `other` behind its end."""
    found = fetched(values).astype(np.int64)
    if found.ndim != 2 or len(found) not in (1, extent.batch):
        raise _Unknown
    found = np.pad(found, ((0, 0), (0, max(0, extent.tokens - found.shape[1]))), constant_values=other)
    return np.broadcast_to(found[:, : extent.tokens], (extent.batch, extent.tokens))


# -- padding and packing ----------------------------------------------------------------------------------------------


def visible(real: Any, extent: Extent) -> Pattern:
    """Which keys are tokens and no padding: booleans (batch, tokens)."""
    keys = real[:, extent.columns]
    return bool(keys.all()) or KeyPadding(valid=keys, q_len=extent.rows.stop - extent.rows.start)


def packed_texts(extent: Extent, packed_sequence_mask: Any, position_ids: Any) -> Texts:
    """The texts that stand one after the other in a row."""
    return Texts(_of_tokens(packed_sequence_mask, extent, -1), _of_tokens(position_ids, extent, 0))


def packing(function: Callable[..., Any], extent: Extent) -> Texts | None:
    """The texts that a mask function keeps apart, wherever it does so; None if it knows of none."""
    kind, held = _taken_apart(function)
    if kind not in (_AND, _OR):
        return None
    parts = held["mask_functions"]
    apart = dict(map(_taken_apart, parts))
    if {_PACKED, _REMAPPED} <= set(apart):
        return packed_texts(extent, apart[_PACKED]["packed_sequence_mask"], apart[_REMAPPED]["position_ids"])
    return next((found for part in parts if (found := packing(part, extent)) is not None), None)


# -- evaluated --------------------------------------------------------------------------------------------------------


def _evaluated(function: Callable[..., Any], extent: Extent, use_vmap: bool) -> Mask:
    """The booleans that a function gives for all of the extent."""
    found = theirs.sdpa_mask(
        batch_size=extent.batch,
        q_length=extent.rows.stop - extent.rows.start,
        kv_length=extent.columns.stop - extent.columns.start,
        q_offset=extent.rows.start,
        kv_offset=extent.columns.start,
        mask_function=function,
        allow_is_causal_skip=False,
        use_vmap=use_vmap,
        device=extent.device,
    )
    return from_array(fetched(found), true="allowed")
