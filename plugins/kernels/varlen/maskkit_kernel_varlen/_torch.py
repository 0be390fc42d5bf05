"""Torch: `varlen_attn`, whose arrays are (tokens of all samples, heads, width)."""

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import torch
from maskkit import Problem
from maskkit_kernel_varlen._documents import Documents

_TAKEN = {"scale", "window_size", "enable_gqa"}
_WIDTHS = 8
"""FlashAttention's widths are multiples of it."""
_made: WeakKeyDictionary[Documents, dict[Any, torch.Tensor]] = WeakKeyDictionary()


def lacking(device: str) -> str:
    """What is not there, of what must be; empty where all is."""
    missing = find_spec("torch.nn.attention.varlen") is None
    if missing or not inspect.signature(_varlen_attn()).parameters.keys() >= _TAKEN:
        return f"it needs varlen_attn with {', '.join(sorted(_TAKEN))}, which Torch {torch.__version__} has not"
    if torch.cuda.is_available() and torch.cuda.get_device_capability(device) < (8, 0):
        return f"FlashAttention needs compute capability 8.0, which {torch.cuda.get_device_name(device)} has not"
    return ""


def attend(query: Any, key: Any, value: Any, documents: Any, problem: Problem) -> torch.Tensor:
    wide = -(-max(problem.head_dim, problem.value_dim) // _WIDTHS) * _WIDTHS
    query, key, value = (_tokens_first(x, wide) for x in (query, key, value))
    ends = _ends_on(documents, query.device)
    out = _varlen_attn()(
        query,
        key,
        value,
        ends,
        ends,
        documents.longest,
        documents.longest,
        scale=problem.factor,
        window_size=(-1, 0) if documents.causal else (-1, -1),
        enable_gqa=problem.heads != problem.kv_heads,
    )
    return out.view(problem.batch, problem.queries, problem.heads, wide).transpose(1, 2)[..., : problem.value_dim]


def _varlen_attn() -> Any:
    return import_module("torch.nn.attention.varlen").varlen_attn


def _tokens_first(x: torch.Tensor, wide: int) -> torch.Tensor:
    """(batch, heads, length, width) as (batch * length, heads, wide), filled up with zeros."""
    tokens = x.transpose(1, 2).flatten(0, 1)
    return tokens.contiguous() if x.shape[-1] == wide else torch.nn.functional.pad(tokens, (0, wide - x.shape[-1]))


def _ends_on(documents: Documents, device: torch.device) -> torch.Tensor:
    """Where documents begin, on a device; brought there once."""
    kept = _made.setdefault(documents, {})
    if device not in kept:
        kept[device] = torch.from_numpy(documents.ends).to(device)
    return kept[device]
