"""The attention implementation "maskkit" of transformers: the mask that models ask for, and attention under it."""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from inspect import signature
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers import masking_utils as theirs
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.utils.output_capturing import _active_collector
from maskkit import ConfigError, Mask, attend, from_array
from maskkit.arrays import fetched
from maskkit_transformers.asked import AskedMask, Request
from maskkit_transformers.requested import Extent
from maskkit_transformers.setting import NAME, Setting, add_to_configs, role
from maskkit_transformers.texts import Texts

_PLAIN = {"module", "query", "key", "value", "attention_mask", "scaling", "dropout", "sliding_window", "kwargs"}
"""Parameters of an attention function that `attend` knows, or that the mask holds already."""
_MORE = ("softcap", "s_aux", "sinks", "position_bias")
"""What `attend` cannot express, and models' own eager functions can."""
_FEW = 4096
"""Up to so many keys, to look for the best way of a single query, at every step of a generation, costs more than it
saves."""
_BLOCKED = -1e4
"""An additive mask blocks with this or less."""


def register() -> None:
    """Make the implementation known to transformers; importing the package does it."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)
    add_to_configs()


# -- the mask ---------------------------------------------------------------------------------------------------------

_last = threading.local()
"""What a decoder has asked for its self-attention, and its config, until its cross-attention is asked for."""


# A compiled model takes both functions as they are: Torch would trace the work of NumPy, operation by operation.
@torch.compiler.disable
def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: Any = 0,
    mask_function: Any = theirs.causal_mask_function,
    attention_mask: Any = None,
    use_vmap: bool = False,
    config: Any = None,
    device: Any = "cpu",
    **_: Any,
) -> AskedMask:
    """What transformers calls for every mask that a model builds, once for all layers of a kind.

    Of what is left out, `allow_is_*_skip`, `local_size` and `dtype` say how a dense mask may be made.
    """
    q_offset, kv_offset = int(q_offset), int(kv_offset)
    rows, columns = slice(q_offset, q_offset + q_length), slice(kv_offset, kv_offset + kv_length)
    extent = Extent(batch_size, rows, columns, device)
    real = None
    if attention_mask is not None:
        real = fetched(attention_mask).astype(np.bool_)[:, : extent.tokens]
        real = np.pad(real, ((0, 0), (0, extent.tokens - real.shape[1])))
        real = None if real.all() else real
    crossing = mask_function is theirs.bidirectional_mask_function
    before = _last.__dict__.pop("asked", (None, None))
    decoder = before[1] if crossing and before[0] is config else None
    request = Request(mask_function, extent, real, use_vmap, decoder)
    if not crossing:
        _last.asked = config, Request(mask_function, extent, real)  # without what is found of it, which may be large
    return AskedMask(request, device)


# -- attention --------------------------------------------------------------------------------------------------------


@torch.compiler.disable
def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What transformers calls in every layer: query (B, H, Q, D), key and value (B, heads, K, D).

    Returns:
        (B, Q, H, D), and the attention weights where the model's own eager function computes them, else None.
    """
    if kwargs.get("cache") is not None:
        raise ConfigError("paged caches of continuous batching are not attended to; use generate()")
    setting = Setting.of(getattr(module, "config", None))
    template = None if setting is None else setting.template(module)
    eager = _eager(module, kwargs)
    asked = _asked(module, query, key, attention_mask, is_causal, kwargs)
    if asked is None:
        if template is not None:
            raise ConfigError(
                "the attention mask that was given adds other numbers to scores than 0 and what blocks; under a mask "
                "of use_mask give booleans, or leave it out"
            )
        call = eager or sdpa_attention_forward
        return call(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs)
    what = (template, setting.own, role(module, setting.sided)) if setting else (None, "combine", "")
    found = asked.once(what, lambda: asked.mask(*what))
    if eager is not None:
        bias = None if found is None else asked.once((what, query.dtype), lambda: _bias(found, query))
        return eager(module, query, key, value, bias, scaling=scaling, dropout=dropout, **kwargs)
    kernel = None if setting is None else setting.kernel
    if kernel is None and query.shape[2] == 1 and key.shape[2] <= _FEW:
        kernel = "dense"
    out = attend(query, key, value, found, scale=scaling, dropout_p=dropout, enable_gqa=True, kernel=kernel)
    return out.transpose(1, 2).contiguous(), None


def _asked(module: Any, query: Any, key: Any, given: Any, is_causal: bool | None, kwargs: Any) -> Request | None:
    """What is asked of the mask of a layer; None if it is a bias that no mask can hold."""
    if isinstance(given, AskedMask):
        return given.request
    batch, _, queries, _ = query.shape
    extent = Extent(batch, slice(0, queries), slice(0, key.shape[2]), query.device)
    if given is None:  # as scaled_dot_product_attention is called then
        causal = queries > 1 and (getattr(module, "is_causal", True) if is_causal is None else is_causal)
        function = theirs.causal_mask_function if causal else theirs.bidirectional_mask_function
        return Request(function, extent, placed=queries == key.shape[2])
    if given.dtype == torch.bool and not _own_eager(type(module))[2]:
        raise ConfigError(
            f"the mask of {type(module).__name__}, which adds it to scores, has come as booleans: give 0 where allowed "
            "and torch.finfo(dtype).min where blocked; where the model itself has made them of it, take another "
            "attn_implementation"
        )
    if given.dtype != torch.bool:
        blocked = given <= _BLOCKED
        if not bool((blocked | (given == 0)).all()):
            return None
        given = ~blocked
    given = given.expand(*given.shape[:2], queries, key.shape[2])
    positions, texts = kwargs.get("position_ids"), None
    if positions is not None and positions.ndim == 2 and positions.shape[1] == queries == key.shape[2]:
        places = np.broadcast_to(fetched(positions), (batch, queries))
        texts = Texts(np.zeros_like(places), places)
    mask = from_array(fetched(given), true="allowed")
    return Request(mask, extent, given_texts=texts, placed=queries == key.shape[2])


def _bias(mask: Mask, query: torch.Tensor) -> torch.Tensor:
    """As models' own eager attention adds it."""
    name = str(query.dtype).removeprefix("torch.")
    found: torch.Tensor = mask.bias(name, "torch", query.device, finite=True, form="heads")
    return found


def _eager(module: Any, kwargs: dict[str, Any]) -> Any:
    """The eager function of a model, where it does what `attend` cannot; else None."""
    function, names, plain = _own_eager(type(module))
    if plain and not any(kwargs.get(name) is not None for name in names) and not _weights_wanted(kwargs):
        return None
    if function is None:
        raise ConfigError(
            f"{type(module).__name__} computes more than attention under a mask, and has no eager_attention_forward "
            "beside it that could be called"
        )
    return function


def _weights_wanted(kwargs: dict[str, Any]) -> bool:
    """Whether the attention weights are asked for, of this call or of the whole model."""
    return bool(kwargs.get("output_attentions")) or any("attentions" in key for key in _active_collector.get() or ())


@lru_cache(maxsize=256)
def _own_eager(cls: type) -> tuple[Any, tuple[str, ...], bool]:
    """The eager function beside an attention class, what it takes beyond a mask, and whether SDPA can stand for it."""
    beside = vars(sys.modules[cls.__module__])
    function = beside.get("eager_attention_forward")
    models = [one for one in beside.values() if isinstance(one, type) and issubclass(one, PreTrainedModel)]
    own = [one for one in models if one.__module__ == cls.__module__]
    names = () if function is None else tuple(signature(function).parameters)
    return function, tuple({*_MORE, *names} - _PLAIN), all(one._supports_sdpa for one in own)
