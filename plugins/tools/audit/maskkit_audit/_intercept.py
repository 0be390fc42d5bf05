"""Attention caught while a Torch model runs: below its modules, where all roads to it meet.

Whatever a model is written with, its attention ends in one of a few operators: the fused ones of
`scaled_dot_product_attention`, those of `nn.MultiheadAttention` in one piece, or a softmax whose result is multiplied
with values. `Watch` sees each operator as it runs, lets it run, and asks it a second time with queries and keys of
zeros and one-hot values. The kernels of maskkit are caught as a whole, see `_kernels.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary
from maskkit_audit._calls import Bools, Call, heads_of, in_four_axes, planes_of, reduced
from maskkit_audit._observe import arrived

WIDTH = 64
"""Keys that are asked in one call."""
_FUSED = "_scaled_dot_product_"
_WHOLE = {"_native_multi_head_attention", "_transformer_encoder_layer_fwd"}
_SOFTMAX = {"_softmax", "_safe_softmax"}
_SUM = 1e-3
"""How far a row of weights that are made by hand may be from adding up to 1."""


class Watch(TorchDispatchMode):
    """Keeps what every attention allows that runs while it is on.

    Args:
        names: of the modules of the model, by `id`.
        blocked_below: scores, and what is added to them, count as blocked from here down.
    """

    def __init__(self, names: Mapping[int, str], blocked_below: float) -> None:
        super().__init__()
        self.names, self.blocked_below = names, blocked_below
        self.calls: list[Call] = []
        self._weights = WeakTensorKeyDictionary()

    supports_higher_order_operators = True  # FlexAttention is one

    @contextmanager
    def pause(self) -> Any:
        """See nothing for a while: what runs now is part of something that is recorded as a whole."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._flex(func, args, kwargs) if func.name() == "flex_attention" else func(*args, **kwargs)
        name = func._schema.name.partition("::")[2]
        tracked = self._tracked(args)
        before = tracked[0].clone() if tracked and func._schema.is_mutable else None
        out = func(*args, **kwargs)
        if name.startswith(_FUSED) and "backward" not in name:
            self._fused(func, name, args, kwargs)
        elif name in _WHOLE:
            self._whole(func, name, args, kwargs)
        elif name in _SOFTMAX:
            self._softmax(args, out)
        elif name in ("bmm", "baddbmm"):
            self._product(*args[-2:])
        elif tracked:
            self._follow(name, before, *tracked, out)
        return out

    def record(self, via: str, allowed: Bools, batch: int, heads: int, notes: list[str]) -> None:
        """Keep a call of the module that is running."""
        module, name = self.running()
        self.calls.append(
            Call(
                name=name,
                via=via,
                allowed=reduced(allowed),
                batch=batch,
                heads=heads,
                notes=tuple(note for note in notes if note),
                claims_causal=getattr(module, "is_causal", False) is True,
            )
        )

    def running(self) -> tuple[Any, str]:
        """The innermost module of the model on the stack, and its name."""
        frame: Any = sys._getframe(2)
        while frame is not None:
            module = frame.f_locals.get("self")
            if id(module) in self.names:
                return module, self.names[id(module)]
            frame = frame.f_back
        return None, ""

    # -- operators that are attention -----------------------------------------------------------------------------

    def _fused(self, func: Any, name: str, args: Any, kwargs: Any) -> None:
        """The same operator once more for every plane of its mask, with other numbers in it."""
        given = _bound(func, args, kwargs)
        query, key = given["query"], given["key"]
        batch, heads, queries, _ = query.shape
        keys = key.shape[2]
        slot = "attn_bias" if "attn_bias" in given else "attn_mask"
        notes: list[str] = []
        mask = given.get(slot)
        if mask is not None:
            mask, notes = self._as_booleans(mask, (batch, heads, queries, keys))
        planes = mask if mask is not None else np.ones((1, 1, 1, 1), np.bool_)
        places, of = planes_of(planes)

        def call(value: Any) -> Any:
            rows = len(places)
            zeros = [query.new_zeros(rows, 1, size, WIDTH) for size in (queries, keys)]
            values = torch.as_tensor(value, dtype=query.dtype, device=query.device).expand(rows, 1, -1, -1)
            more = {word: given[word] for word in ("is_causal",) if word in given}
            if mask is not None:
                chosen = torch.as_tensor(np.stack([planes[place] for place in places])[:, None], device=query.device)
                bias = query.new_zeros(chosen.shape).masked_fill(~chosen, -torch.inf)
                more[slot] = bias.expand(rows, 1, queries, keys)
            elif slot in given and func._schema.name.endswith("efficient_attention"):
                more[slot] = None
            if "compute_log_sumexp" in given:
                more["compute_log_sumexp"] = False
            out = func(*zeros, values.contiguous(), **more)
            return _host((out[0] if isinstance(out, tuple) else out).float())[:, 0]

        found = arrived(call, (len(places), queries, keys), WIDTH)
        self.record("scaled_dot_product_attention", found[of], batch, heads, notes)

    def _flex(self, func: Any, args: Any, kwargs: Any) -> Any:
        """FlexAttention, compiled or not: what its blocks and its predicates say."""
        from maskkit_audit._flex import flex_allows

        out = func(*args, **kwargs)
        query, key, _, score_mod, block_mask, *_ = args
        allowed, notes = flex_allows(query, key, score_mod, block_mask, *args[7:9])
        self.record("flex_attention", allowed, query.shape[0], query.shape[1], notes)
        return out

    def _whole(self, func: Any, name: str, args: Any, kwargs: Any) -> None:
        """`nn.MultiheadAttention` in one operator: its weights, where queries and keys are zeros."""
        given = _bound(func, args, kwargs)
        source = given.get("query", given.get("src"))
        width, heads = given.get("embed_dim"), given.get("num_head", given.get("num_heads"))
        if source.is_nested:
            lengths = [len(one) for one in source.unbind()]
            allowed = np.zeros((len(lengths), 1, max(lengths), max(lengths)), np.bool_)
            for plane, length in zip(allowed[:, 0], lengths, strict=True):
                plane[:length, :length] = True
            self.record("nn.TransformerEncoderLayer, padding cut off", allowed, len(lengths), heads, [])
            return
        zeros = torch.zeros_like(source)
        weights = torch._native_multi_head_attention(
            zeros,
            zeros,
            zeros,
            width,
            heads,
            given["qkv_weight"],
            torch.zeros_like(given["qkv_bias"]),
            given["proj_weight"],
            given["proj_bias"],
            mask=given.get("mask"),
            need_weights=True,
            average_attn_weights=False,
            mask_type=given.get("mask_type"),
        )[1]
        allowed = _host(weights.float() > 0)
        self.record("nn.MultiheadAttention", allowed, len(source), heads, [])

    # -- a softmax, and what becomes of it ------------------------------------------------------------------------

    def _softmax(self, args: Any, out: Any) -> None:
        scores, axis = args[0], args[1]
        if out.ndim >= 3 and axis in (-1, out.ndim - 1) and out.shape[-1] > 1:
            self._weights[out] = _Weights(scores > self.blocked_below, out.shape, scores, out)

    def _tracked(self, args: Any) -> tuple[Any, Any] | None:
        """The first argument that is made of a softmax, and what is known of it."""
        for arg in args:
            if isinstance(arg, torch.Tensor) and arg in self._weights:
                return arg, self._weights[arg]
        return None

    def _follow(self, name: str, before: Any, source: Any, known: _Weights, out: Any) -> None:
        """What is made of weights without multiplying them with values is weights still; zeros in it are blocked."""
        out = source if out is None else out
        if not isinstance(out, torch.Tensor) or out.numel() != source.numel() or not out.is_floating_point():
            return
        if out.shape == known.shape and name not in _MOVES:
            gone = (out == 0) & ((source if before is None else before) != 0)
            known = known.without(gone) if gone.any() else known
        self._weights[out] = known if name not in _TURNS else known.turned()

    def _product(self, left: Any, right: Any) -> None:
        """Weights times values is where attention happens."""
        for tensor, rows, keys, turned in ((left, -2, -1, None), (right, -1, -2, True)):
            known = self._weights.get(tensor)
            if known is None or turned not in (None, known.is_turned):
                continue
            if tensor.shape[keys] == known.shape[-1] and tensor.shape[rows] % known.shape[-2] == 0:
                self._keep("softmax", known.allowed, known.notes)
                return
        if left not in self._weights and _are_weights(left):
            self._keep("weights made by hand", left > 0, [])

    def _keep(self, via: str, allowed: Any, notes: list[str]) -> None:
        module, _ = self.running()
        found, note = in_four_axes(_host(allowed), heads_of(module))
        self.record(via, found, found.shape[0], found.shape[1], [*notes, note])

    def _as_booleans(self, mask: Any, shape: tuple[int, ...]) -> tuple[Bools, list[str]]:
        """What a mask of fused attention allows, (1 or batch, 1 or heads, queries, keys), and what to say of it."""
        if mask.dtype == torch.bool:
            allowed, notes = mask, []
        else:
            allowed, notes = mask > self.blocked_below, []
            notes = _bias_notes(mask, allowed, self.blocked_below)
        while allowed.ndim < 4:
            allowed = allowed[None]
        return _host(allowed.expand(*allowed.shape[:2], *shape[2:])), notes


class _Weights:
    """What is known of the weights of a softmax: which of its scores were allowed, and how it was changed since."""

    def __init__(self, allowed: Any, shape: Any, scores: Any, out: Any, is_turned: bool = False) -> None:
        self.allowed, self.shape, self.is_turned = allowed, shape, is_turned
        self.notes: list[str] = []
        if scores is not None:
            empty = ~allowed.any(-1)
            if bool((empty & (out > 0).any(-1)).any()):
                self.notes = [_AVERAGED]

    def without(self, gone: Any) -> _Weights:
        """The same, where some weights have been taken out."""
        found = _Weights(self.allowed & ~gone, self.shape, None, None, self.is_turned)
        found.notes = self.notes
        return found

    def turned(self) -> _Weights:
        """The same, with axes exchanged."""
        found = _Weights(self.allowed, self.shape, None, None, not self.is_turned)
        found.notes = self.notes
        return found


_TURNS = {"transpose", "t", "permute", "movedim"}
_MOVES = {*_TURNS, "view", "_unsafe_view", "expand", "reshape", "clone", "detach", "alias", "_to_copy", "unsqueeze"}
_AVERAGED = "rows in which all is blocked average all keys: the mask adds a finite number, or none"


def _bias_notes(mask: Any, allowed: Any, blocked_below: float) -> list[str]:
    notes = []
    if bool((~allowed.any(-1) & (mask > -torch.inf).any(-1)).any()):
        notes.append(_AVERAGED)
    added = mask[allowed]
    if added.numel() and bool((added != 0).any()):
        low, high = float(added.min()) + 0.0, float(added.max()) + 0.0  # not -0
        notes.append(f"adds {low:.4g} to {high:.4g} to scores, which blocks nothing (blocked_below={blocked_below:g})")
    return notes


def _are_weights(tensor: Any) -> bool:
    """Whether every row of (planes, queries, keys) is an average: not negative, and adding up to 1, or all 0."""
    if tensor.ndim != 3 or not tensor.is_floating_point() or 1 in tensor.shape[1:] or 0 in tensor.shape:
        return False
    for part in (tensor[:1, :1], tensor):
        total = part.float().sum(-1)
        if bool((part < 0).any()) or not bool(((total - 1).abs().minimum(total.abs()) < _SUM).all()):
            return False
    return bool(((tensor > 0).sum(-1) > 1).any())  # else it moves rows around


def _bound(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of an operator by name, those left out with their defaults."""
    given = {arg.name: arg.default_value for arg in func._schema.arguments if arg.has_default_value()}
    given |= {arg.name: value for arg, value in zip(func._schema.arguments, args, strict=False)}
    return given | kwargs


def _host(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy()
