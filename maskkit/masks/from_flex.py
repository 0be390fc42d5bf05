"""Masks from forms of other libraries; Torch FlexAttention's `BlockMask` among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from maskkit import limits
from maskkit.errors import ConfigError
from maskkit.masks.beside import from_spans, stack
from maskkit.masks.exports.fits import exporter
from maskkit.masks.given import from_array, of_spans
from maskkit.masks.mask import Mask
from maskkit.masks.spans import Spans
from maskkit.validators import shown

Bools = npt.NDArray[np.bool_]

_CELLS = 2**22
"""Booleans that are held at once."""
_made: WeakKeyDictionary[Any, tuple[Any, Mask]] = WeakKeyDictionary()


def from_flex(block_mask: Any) -> Mask:
    """What FlexAttention computes under a BlockMask: of full blocks all, of partial ones what `mask_mod` allows.

    Made once while the BlockMask lives: nothing that `mask_mod` reads may change. Intervals of keys where every row has
    at most `maskkit.limits.intervals`, else booleans. An axis of samples, or heads, that is 1 in the BlockMask stays
    only where `mask_mod` reads its index, which then was 0.

    Raises:
        TypeError: it is no `torch.nn.attention.flex_attention.BlockMask`.
        ConfigError: its tables do not go with its lengths.
    """
    from torch.nn.attention.flex_attention import BlockMask

    if not isinstance(block_mask, BlockMask):
        raise TypeError(f"from_flex takes a BlockMask of torch.nn.attention.flex_attention, got {shown(block_mask)}")
    state = block_mask.mask_mod, block_mask.seq_lengths
    if block_mask not in _made or _made[block_mask][0] != state:
        partial = _listed(block_mask, block_mask.kv_num_blocks, block_mask.kv_indices)
        full = _listed(block_mask, block_mask.full_kv_num_blocks, block_mask.full_kv_indices)
        batch, heads = partial.shape[:2]
        found = [[_plane(block_mask, b, h, partial[b, h], full[b, h]) for h in range(heads)] for b in range(batch)]
        samples = [stack(row) if heads > 1 or _reads(block_mask, 1) else row[0] for row in found]
        _made[block_mask] = state, stack(samples, "batch") if batch > 1 or _reads(block_mask, 0) else samples[0]
    return _made[block_mask][1]


def from_form(form: str, value: Any, **options: Any) -> Mask:
    """The mask that a form of another library holds, as `mask.export(form)` gives it.

    Args:
        form: the exporter's name; "flex" reads a BlockMask, "varlen" packed documents, a batch of them as one row.
        value: the form.
        options: the exporter's own, such as lengths that the form does not tell.

    Raises:
        ConfigError: no exporter has this name, the form holds no whole mask, or the value is none of this form.
    """
    if form in _OURS:
        return _OURS[form](value, **options)
    found = exporter(form)
    if not hasattr(found, "read"):
        raise ConfigError(f"the form {form!r} holds no whole mask to read; keep the mask that it was made from")
    mask: Mask = found.read(value, **options)
    return mask


def _from_varlen(value: dict[str, Any]) -> Mask:
    """Of packed documents; the samples of a batch stay behind each other."""
    queries, keys = (np.asarray(value[f"cu_seqlens_{one}"], np.int64) for one in ("q", "k"))
    if len(queries) != len(keys) or queries[0] or keys[0] or (np.diff(queries) < 0).any() or (np.diff(keys) < 0).any():
        raise ConfigError(f"cu_seqlens_q and cu_seqlens_k must ascend from 0, as many, got {queries} and {keys}")
    row = np.arange(queries[-1])
    document = np.searchsorted(queries, row, side="right") - 1
    late = queries[document + 1] - 1 - row if value["causal"] else 0 * row
    spans = Spans.interval(keys[document], np.maximum(keys[document], keys[document + 1] - late))
    return from_spans([[spans.within(int(keys[-1]))]])


_OURS = {"flex": from_flex, "varlen": _from_varlen}


def _listed(block_mask: Any, counts: Any, indices: Any) -> Bools:
    """The blocks of a table: (batch, heads, rows, columns)."""
    rows, columns = (-(-n // size) for n, size in zip(block_mask.seq_lengths, block_mask.BLOCK_SIZE, strict=True))
    found = np.zeros((*block_mask.kv_num_blocks.shape[:2], rows, columns), np.bool_)
    if counts is not None:
        counts, indices = counts.cpu().numpy(), indices.cpu().numpy()
        place = np.nonzero(np.arange(indices.shape[-1]) < counts[..., None])
        if counts.shape != found.shape[:-1] or indices[place].max(initial=0) >= columns:
            raise ConfigError(
                f"block_mask must list {rows} x {columns} blocks for each sample and head, as its seq_lengths "
                f"{block_mask.seq_lengths} say, got {counts.shape} rows and columns to {indices[place].max(initial=0)}"
            )
        found[(*place[:-1], indices[place])] = True
    return found


def _plane(block_mask: Any, b: int, h: int, partial: Bools, full: Bools) -> Mask:
    """The mask of a sample and head."""
    parts = []
    for spans in _rows(block_mask, b, h, partial, full):
        parts.append(spans)
        if len(spans) > limits.intervals:
            limits.check_dense("mask of booleans", block_mask.seq_lengths, 1)
    if max(map(len, parts)) > limits.intervals:
        return from_array(np.concatenate([spans.to_bool() for spans in parts]), true="allowed")
    return of_spans(Spans.join(parts))


def _rows(block_mask: Any, b: int, h: int, partial: Bools, full: Bools) -> Iterator[Spans]:
    """The spans of a row of blocks after the other, or of less."""
    (queries, keys), (rows, size) = block_mask.seq_lengths, block_mask.BLOCK_SIZE
    column, step = np.arange(keys) // size, max(1, min(rows, _CELLS // keys))
    for row, (some, whole) in enumerate(zip(partial, full, strict=True)):
        seen, asked = np.flatnonzero((some | whole)[column]), np.flatnonzero(some[column])
        left, behind = (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0)
        last = min((row + 1) * rows, queries)
        for first in range(row * rows, last, step):
            q = np.arange(first, min(first + step, last))
            allowed = np.repeat(whole[None, column[left:behind]], len(q), axis=0)
            if len(asked):
                allowed[:, asked - left] = _ask(block_mask, b, h, q, asked)
            yield Spans.from_bool(allowed).shift(left).within(keys)


def _ask(block_mask: Any, b: int, h: int, q: Any, k: Any) -> Any:
    """What `mask_mod` says of some rows and keys."""
    import torch
    from torch.nn.attention.flex_attention import create_mask

    device = block_mask.kv_indices.device
    rows, keys = (torch.from_numpy(index).to(device) for index in (q, k))
    return create_mask(
        lambda b0, h0, i, j: block_mask.mask_mod(b0 + b, h0 + h, rows[i], keys[j]), 1, 1, len(q), len(k), device
    )[0, 0].cpu()


class _Unread:
    """An index that nothing can be done with; `and_masks` and `or_masks` make their first value from it."""

    __eq__ = __ne__ = __hash__ = None  # type: ignore[assignment]

    def __init__(self, device: Any) -> None:
        import torch

        self.device, self.new_ones, self.new_zeros = device, torch.ones, torch.zeros


def _reads(block_mask: Any, place: int) -> bool:
    """Whether `mask_mod` reads the index of the sample (0), or of the head (1)."""
    zero = block_mask.kv_num_blocks.new_zeros(())
    index = [zero] * 4
    index[place] = _Unread(zero.device)
    try:
        block_mask.mask_mod(*index)
    except (TypeError, AttributeError, IndexError, RuntimeError):
        return True
    return False
