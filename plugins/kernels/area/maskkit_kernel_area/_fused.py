"""One fused attention call on a CPU that gives its log-sum-exp: Torch's own, which is private, or plain products."""

from functools import cache
from typing import Any

import torch

_ROWS = 256
"""Rows of scores that are held at once where Torch's own call is not there."""


@cache
def fused() -> bool:
    """The one check: whether Torch has the private call and its backward, and they give what they are used for."""
    try:
        call = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        back = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        one = torch.ones(1, 1, 2, 8)
        bias = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]])
        out, lse = call(one, one, one, 0.0, False, attn_mask=bias, scale=0.5)
        grads = back(one, one, one, one, out, lse, 0.0, False, attn_mask=bias, scale=0.5)
        good = lse.shape == (1, 1, 2) and float(lse[0, 0, 0]) == 4 and not out[0, 0, 1].any()
        return bool(good and grads[2][0, 0].tolist() == [[1.0] * 8, [0.0] * 8])
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return False


def forward(q: Any, k: Any, v: Any, bias: Any, scale: float) -> Any:
    """Output, and the log-sum-exp of every row's scores (some number for a row that sees nothing)."""
    if fused():
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, False, attn_mask=bias, scale=scale
        )
    parts = []
    for some in _some(q):
        scores = _scores(q, k, bias, scale, some)
        lse = scores.logsumexp(-1, keepdim=True)
        lse = torch.where(lse == -torch.inf, 0, lse)
        parts.append(((scores - lse).exp().to(v.dtype) @ v, lse[..., 0]))
    return tuple(torch.cat(part, 2) for part in zip(*parts, strict=True))


def backward(grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, bias: Any, scale: float) -> Any:
    """Gradients of q, k and v, where output and log-sum-exp may be those over more keys than these."""
    if fused():
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, lse, 0.0, False, attn_mask=bias, scale=scale
        )
    dq, dk, dv = [], 0, 0
    for some in _some(q):
        weights = (_scores(q, k, bias, scale, some) - lse[..., some, None]).exp()
        given = grad[..., some, :].to(weights.dtype)
        apart = given @ v.mT.to(weights.dtype) - (given * out[..., some, :]).sum(-1, keepdim=True)
        scores = weights * apart * scale
        dq.append(scores @ k.to(scores.dtype))
        dk = dk + scores.mT @ q[..., some, :].to(scores.dtype)
        dv = dv + weights.mT @ given
    return torch.cat(dq, 2), dk, dv


def _some(q: Any) -> list[slice]:
    return [slice(first, first + _ROWS) for first in range(0, q.shape[2], _ROWS)]


def _scores(q: Any, k: Any, bias: Any, scale: float, rows: slice) -> Any:
    """The scores of some rows, in float32 or better."""
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    scores = q[..., rows, :].to(wide) @ k.mT.to(wide) * scale
    return scores if bias is None else scores + bias[rows]
