"""Attention of one rank's rows: its own keys while those of others travel, then theirs, merged by log-sum-exp."""

from typing import Any

import torch
import maskkit
from maskkit import Mask
from maskkit.errors import ConfigError
from maskkit_kernel_context_parallel._exchange import Exchange
from maskkit_kernel_context_parallel._plan import exchange_of


def attend(
    query: Any,
    key: Any,
    value: Any,
    mask: Mask | None,
    shards: Any,
    group: Any,
    *,
    return_lse: bool,
    kernel: Any,
    dropout_p: float,
    **options: Any,
) -> Any:
    """Output (B, H, rows, Dv), and with `return_lse` the log-sum-exp (B, H, rows)."""
    if dropout_p:
        raise ConfigError(f"attention over ranks drops nothing; give dropout_p=0.0, got {dropout_p!r}")
    exchange = exchange_of(query, key, value, mask, shards, group, options)
    arriving = _Fetch.apply(torch.cat([key, value], -1), exchange)

    def part(key: Any, value: Any, mask: Mask | None) -> Any:
        return maskkit.attend(query, key, value, mask, return_lse=True, kernel=kernel, **options)

    parts = [part(key, value, exchange.own_mask)] if query.shape[2] else [_nothing(query, value)]
    exchange.wait()
    fetched = _Arrived.apply(arriving, exchange)
    if fetched.shape[2] and query.shape[2]:
        parts.append(part(*fetched.split([key.shape[-1], value.shape[-1]], -1), exchange.fetched_mask))
    out, lse = _merged(parts)
    # A rank that fetched nothing takes part in the exchange of gradients all the same.
    out = (out + fetched.sum() * 0).to(query.dtype) if not fetched.numel() else out.to(query.dtype)
    return (out, lse) if return_lse else out


def _nothing(query: Any, value: Any) -> Any:
    return query[..., :1] * value.new_zeros(value.shape[-1]), query.sum(-1).float()


def _merged(parts: list[Any]) -> Any:
    """Parts (output, log-sum-exp) over different keys, as one over all; a row that sees nothing gives zeros."""
    if len(parts) == 1:
        return parts[0]
    highest = torch.stack([lse.detach() for _, lse in parts]).amax(0)
    highest = torch.where(highest.isinf(), 0, highest)
    weights = [(lse - highest).exp() for _, lse in parts]
    total = sum(weights)
    some = total > 0
    total = torch.where(some, total, 1)
    out = sum(out.to(w.dtype) * (w / total)[..., None] for (out, _), w in zip(parts, weights, strict=True))
    return out, torch.where(some, highest + total.log(), -torch.inf)


class _Fetch(torch.autograd.Function):
    """Keys with values of others (B, heads, keys, widths): on their way when this returns. Gradients go back."""

    @staticmethod
    def forward(ctx: Any, pairs: Any, exchange: Exchange) -> Any:
        ctx.exchange, ctx.like = exchange, pairs.new_empty(()).expand(pairs.shape)  # no copy is kept
        return exchange.start(pairs.detach())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        return ctx.exchange.give_back(grad, ctx.like), None


class _Arrived(torch.autograd.Function):
    """What arrived, tokens first, in ascending order of keys as (B, heads, keys, widths)."""

    @staticmethod
    def forward(ctx: Any, buffer: Any, exchange: Exchange) -> Any:
        ctx.exchange = exchange
        return buffer.index_select(0, exchange.order).permute(1, 2, 0, 3).contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        return grad.permute(2, 0, 1, 3).index_select(0, ctx.exchange.disorder), None
