"""Attention itself: a softmax that no row can break, and the way around it through fused kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops
import maskkit
from maskkit.errors import NoKernel
from maskkit_keras.kernels import widen
from maskkit_keras.masks import Allowed
from maskkit_keras.values import torch_compiles

try:
    from keras.src.backend.common.symbolic_scope import in_symbolic_scope
except ImportError:  # another Keras, which then makes the mask's array to find out shapes

    def in_symbolic_scope() -> bool:
        """Not known."""
        return False


_BLOCKED = -1e30
"""Far below every score, and far from the end of float32, so that differences stay finite."""
_LOWEST = -3e38
"""Below every score."""


def masked_softmax(scores: Any, allowed: Any = None) -> Any:
    """Softmax over the last axis among what is allowed; exactly 0 elsewhere, and all 0 in a row that allows nothing.

    Args:
        scores: (..., queries, keys), floating.
        allowed: booleans that broadcast to the scores; None allows all.

    Returns:
        Weights of the shape and dtype of the scores, computed in float32 at least. Values and gradients are finite.
    """
    scores = ops.convert_to_tensor(scores)
    dtype = keras.backend.standardize_dtype(scores.dtype)
    if dtype in ("float16", "bfloat16"):
        scores = ops.cast(scores, "float32")
    if allowed is not None:
        scores = ops.where(allowed, scores, ops.cast(_BLOCKED, scores.dtype))
    highest = ops.stop_gradient(_highest(scores))
    exponentials = ops.exp(scores - highest)
    if allowed is not None:
        exponentials = ops.where(allowed, exponentials, ops.zeros_like(scores))
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    return ops.cast(exponentials / ops.where(total > 0, total, ops.ones_like(total)), dtype)


def _highest(scores: Any) -> Any:
    if keras.backend.backend() == "tensorflow":  # of a batch of nothing it wants a number to begin with
        return ops.max(scores, axis=-1, keepdims=True, initial=_LOWEST)
    return ops.amax(scores, axis=-1, keepdims=True)  # which Torch compiles, as it does not a beginning


def pair_scores(query: Any, key: Any, scale: float) -> Any:
    """Scaled products of queries and keys, in float32 at least: in float16 those of large activations overflow.

    Args:
        query: (batch, queries, heads, width).
        key: (batch, keys, key heads, width), for as many key heads as query heads, or a divisor of that.
        scale: of the scores.

    Returns:
        (batch, heads, queries, keys).
    """
    batch, queries, heads, width = ops.shape(query)
    keys, key_heads = ops.shape(key)[1], key.shape[2]
    # Query heads that share a key head stand side by side.
    grouped = ops.reshape(widen(query) * scale, (batch, queries, key_heads, heads // key_heads, width))
    return ops.reshape(ops.einsum("bqkgd,bskd->bkgqs", grouped, widen(key)), (batch, heads, queries, keys))


def attend(
    query: Any,
    key: Any,
    value: Any,
    allowed: Allowed | None = None,
    *,
    scale: float | None = None,
    dropout: Callable[[Any], Any] | None = None,
    weights: bool = False,
) -> tuple[Any, Any]:
    """Scaled dot-product attention, for as many key heads as query heads, or a divisor of that (grouped queries).

    Args:
        query: (batch, queries, heads, width).
        key: (batch, keys, key heads, width).
        value: (batch, keys, key heads, value width).
        allowed: which keys each query may see.
        scale: of the scores; None is `width ** -0.5`.
        dropout: what to do to the weights before they meet the values.
        weights: whether the weights are wanted.

    Returns:
        (batch, queries, heads, value width), and the weights (batch, heads, queries, keys) or None. A query that may
        see nothing gets zeros.
    """
    allowed = allowed or Allowed()
    if allowed.mask is not None and in_symbolic_scope():  # Keras asks for shapes, which no mask changes
        allowed = allowed._replace(mask=None)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if weights or dropout or not _fusible(query):
        return _explicit(query, key, value, allowed, scale, dropout)
    context = _by_value(query, key, value, allowed, scale)
    if context is not None:
        return context, None
    if keras.backend.backend() == "jax" and query.shape[-1] != value.shape[-1]:  # which JAX' kernel does not take
        return _explicit(query, key, value, allowed, scale, dropout)
    return _fused(query, key, value, allowed, scale), None


def _fusible(query: Any) -> bool:
    """TensorFlow has no fused kernel (nor Keras' for it a single key head), and JAX's none of float64.

    JAX's cannot be compiled for float16 on a CPU.
    """
    backend, dtype = keras.backend.backend(), keras.backend.standardize_dtype(query.dtype)
    if backend == "jax":
        return bool(dtype != "float64" and not (dtype == "float16" and _jax_on_cpu()))
    return bool(backend == "torch")


def _jax_on_cpu() -> bool:
    import jax

    return str(jax.default_backend()) == "cpu"


def _by_value(query: Any, key: Any, value: Any, allowed: Allowed, scale: float) -> Any:
    """`maskkit.attend` under a mask value; None where there is none, or no kernel for it."""
    mask = None if torch_compiles() else allowed.value(query.shape[1], key.shape[1])
    if mask is None or not isinstance(query.shape[0], int):  # JAX exports for batches of any size
        return None
    query, key, value = (ops.swapaxes(x, 1, 2) for x in (query, key, value))
    try:
        context = maskkit.attend(query, key, value, mask, scale=scale, enable_gqa=True)
    except NoKernel:  # none fits, or none is installed
        return None
    return ops.swapaxes(context, 1, 2)


def _explicit(
    query: Any, key: Any, value: Any, allowed: Allowed, scale: float, dropout: Callable[[Any], Any] | None
) -> tuple[Any, Any]:
    batch, queries, heads, _ = ops.shape(query)
    keys, key_heads = ops.shape(key)[1], key.shape[2]
    scores = pair_scores(query, key, scale)
    weights = ops.cast(masked_softmax(scores, allowed.dense(queries, keys)), value.dtype)
    used = dropout(weights) if dropout else weights
    used = ops.reshape(used, (batch, key_heads, heads // key_heads, queries, keys))
    context = ops.einsum("bkgqs,bskv->bqkgv", used, value)
    return ops.reshape(context, (batch, queries, heads, value.shape[-1])), weights


def _fused(query: Any, key: Any, value: Any, allowed: Allowed, scale: float) -> Any:
    """Rows that allow nothing go through the kernel as if they allowed everything: finite everywhere, then zero."""
    if allowed.pairs is None and allowed.mask is None:
        return _kernel(query, key, value, None, allowed.causal, scale)
    pairs = allowed.dense(ops.shape(query)[1], ops.shape(key)[1])
    some = ops.any(pairs, axis=-1, keepdims=True)
    context = _kernel(query, key, value, ops.logical_or(pairs, ops.logical_not(some)), False, scale)
    return ops.where(ops.swapaxes(some, 1, 2), context, ops.zeros_like(context))


def _kernel(query: Any, key: Any, value: Any, allowed: Any, causal: bool, scale: float) -> Any:
    if keras.backend.backend() == "torch":
        return _torch_kernel(query, key, value, allowed, causal, scale)
    return ops.dot_product_attention(query, key, value, mask=allowed, scale=scale, is_causal=causal)


def _torch_kernel(query: Any, key: Any, value: Any, allowed: Any, causal: bool, scale: float) -> Any:
    """Without Keras' copies: of the mask as numbers, and of the keys for every query head of a group."""
    from torch.nn.functional import scaled_dot_product_attention

    context = scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=allowed,
        is_causal=causal,
        scale=scale,
        enable_gqa=query.shape[2] != key.shape[2],
    )
    return context.transpose(1, 2)
