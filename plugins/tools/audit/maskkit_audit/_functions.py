"""Attention that is a function of its own, and not an operator of Torch: FlexAttention, and the kernels of maskkit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from attrs import evolve
from maskkit import BrokenPlugin, ConfigError, find, names
from maskkit_audit._calls import Bools
from maskkit_audit._intercept import WIDTH, Watch
from maskkit_audit._observe import arrived


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """While this lasts, these functions say what they allow."""
    with ExitStack() as stack:
        _watch_flex(watch, stack)
        _watch_kernels(watch, stack)
        with watch:
            yield


def _replace(stack: ExitStack, holder: Any, name: str, new: Any) -> None:
    old = vars(holder)[name]
    setattr(holder, name, new)
    stack.callback(setattr, holder, name, old)


# -- FlexAttention ----------------------------------------------------------------------------------------------------


def _watch_flex(watch: Watch, stack: ExitStack) -> None:
    """In every module that has imported it, compiled or not, `flex_attention` is one that is watched."""
    home = sys.modules.get("torch.nn.attention.flex_attention")
    if home is None:
        return
    flex = home.flex_attention

    @wraps(flex)
    def watched(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        with watch.pause():
            out = flex(query, key, value, *args, **kwargs)
            score_mod, block_mask = (*args, None, None)[:2]
            score_mod, block_mask = kwargs.get("score_mod", score_mod), kwargs.get("block_mask", block_mask)
            allowed, notes = _flex_allows(query, key, score_mod, block_mask)
        watch.record("flex_attention", allowed, query.shape[0], query.shape[1], notes)
        return out

    def is_flex(value: Any) -> bool:
        return value is flex or getattr(value, "_torchdynamo_orig_callable", None) is flex

    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if callable(value) and is_flex(value):
                _replace(stack, module, name, watched)
    wrapper = sys.modules.get("transformers.integrations.flex_attention")
    if wrapper is not None and hasattr(wrapper, "compile_friendly_flex_attention"):

        def uncompiled(query: Any, key: Any, value: Any, training: bool = False, **kwargs: Any) -> Any:
            return watched(query, key, value, **kwargs)

        _replace(stack, wrapper, "compile_friendly_flex_attention", uncompiled)


def _flex_allows(query: Any, key: Any, score_mod: Any, block_mask: Any) -> tuple[Bools, list[str]]:
    """What the compiled kernel computes: whole blocks as they are, the others as far as the predicate allows."""
    from torch.nn.attention.flex_attention import create_mask

    (batch, heads, queries, _), keys, notes = query.shape, key.shape[2], []
    allowed = torch.ones(1, 1, queries, keys, dtype=torch.bool)
    if block_mask is not None:
        samples, planes = block_mask.shape[:2]
        made = create_mask(block_mask.mask_mod, samples, planes, queries, keys, device=query.device).cpu()
        full = _in_blocks(block_mask.full_kv_num_blocks, block_mask.full_kv_indices, block_mask, queries, keys)
        partial = _in_blocks(block_mask.kv_num_blocks, block_mask.kv_indices, block_mask, queries, keys)
        allowed = full | (partial & made)
        if differs := int((allowed != made).sum()):
            notes.append(
                f"the lists of blocks and the predicate of the BlockMask disagree on {differs:,} pairs; the compiled "
                "kernel goes by the blocks, the eager function by the predicate"
            )
    if score_mod is not None:
        added = create_mask(score_mod, batch, heads, queries, keys, device=query.device).cpu()
        allowed = allowed & added
    return allowed.numpy(), notes


def _in_blocks(counts: Any, indices: Any, block_mask: Any, queries: int, keys: int) -> Any:
    """Which pairs lie in the blocks of a list, (batch, heads, queries, keys)."""
    high, wide = block_mask.BLOCK_SIZE
    if counts is None:
        return torch.zeros(1, 1, queries, keys, dtype=torch.bool)
    counts, indices = counts.cpu(), indices.cpu().long()
    listed = torch.arange(indices.shape[-1]) < counts[..., None]
    blocks = torch.zeros(*indices.shape[:-1], max(indices.shape[-1], -(-keys // wide)) + 1, dtype=torch.bool)
    blocks.scatter_(-1, torch.where(listed, indices, blocks.shape[-1] - 1), True)
    pairs = blocks[..., :-1].repeat_interleave(high, -2).repeat_interleave(wide, -1)
    return pairs[..., :queries, :keys]


# -- kernels of maskkit -----------------------------------------------------------------------------------------------


def _watch_kernels(watch: Watch, stack: ExitStack) -> None:
    """Whatever `maskkit.attend` chooses is a kernel, and a kernel is given the mask."""
    for name in names("kernel"):
        try:
            cls = find(name, "kernel")
        except (BrokenPlugin, ConfigError):
            continue
        if "attend" in vars(cls):
            _replace(stack, cls, "attend", _watched_kernel(watch, vars(cls)["attend"]))
        if "fits" in vars(cls):  # it may try things out
            _replace(stack, cls, "fits", _unseen(watch, vars(cls)["fits"]))


def _unseen(watch: Watch, fits: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fits)
    def unseen(*args: Any) -> Any:
        with watch.pause():
            return fits(*args)

    return unseen


def _watched_kernel(watch: Watch, attend: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(attend)
    def watched(self: Any, query: Any, key: Any, value: Any, mask: Any, problem: Any) -> Any:
        if not isinstance(query, torch.Tensor):
            return attend(self, query, key, value, mask, problem)
        with watch.pause():
            out = attend(self, query, key, value, mask, problem)
            allowed = _kernel_allows(lambda *given: attend(self, *given), query, mask, problem)
        watch.record("maskkit.attend", allowed, query.shape[0], query.shape[1], [])
        return out

    return watched


def _kernel_allows(attend: Callable[..., Any], query: Any, mask: Any, problem: Any) -> Bools:
    """The kernel again, with zeros and one-hot values, for as many samples and heads as the mask tells apart."""
    sizes = {} if mask is None else dict(zip(mask.axes, mask.shape, strict=True))
    batch, heads = sizes.get("batch", 1), sizes.get("head", 1)
    more = dict(dropout_p=0.0, return_lse=False, scale=None, training=False, head_dim=WIDTH, value_dim=WIDTH)
    asked = evolve(problem, batch=batch, heads=heads, kv_heads=heads, **more)
    zeros = [query.new_zeros(batch, heads, size, WIDTH) for size in (problem.queries, problem.keys)]

    def call(value: Any) -> Any:
        values = torch.as_tensor(value, dtype=query.dtype, device=query.device).expand(batch, heads, -1, -1)
        return attend(*zeros, values.contiguous(), mask, asked).float().cpu().numpy()

    return arrived(call, (batch, heads, problem.queries, problem.keys), WIDTH)
