"""Transformers: a mask from a plain config as the attention mask of a Hugging Face model.

    from maskkit_transformers import use_mask

    model = use_mask(model, "causal & sliding_window(window_size=256)")           # sdpa
    model = use_mask(model, {"type": "sliding_window", "window_size": 256}, "flex")

The mask is a template without lengths: at every call it is bound to the length at hand, cut to the queries and keys of
the KV cache, and combined with the model's own padding mask. It stands in the model's config as plain data, and so is
saved with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import torch
from attrs import field, frozen
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from maskkit import AttentionMask, ConfigError, Spans, Template, by_content, take
from maskkit.arrays import fetched

IMPLEMENTATIONS = ("eager", "sdpa", "flex")
_TRIED = 8, 9
"""Lengths at which a template is bound for a try, to find out at once what is wrong with it; two, for a part with a
length of its own fits one of them at most."""


def use_mask(model: Any, template: str | Mapping[str, Any] | Template, implementation: str = "sdpa") -> Any:
    """Let a model attend as a mask says, and return it.

    Args:
        model: any transformers model that builds its masks through `AttentionMaskInterface`.
        template: an expression, a mapping as `maskkit.create` takes it, or a `maskkit.Template`, without `seq_len`.
        implementation: "eager", "sdpa" or "flex"; which attention runs under the mask.

    Raises:
        ConfigError: the template does not give one mask of any number of tokens, or the implementation is none of the
            three.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ConfigError(
            f"implementation must be one of {', '.join(map(repr, IMPLEMENTATIONS))}, got {implementation!r}"
        )
    mask = Template.of(template)
    if mask.open != ("seq_len",):
        others = " and ".join(size for size in mask.open if size != "seq_len")
        sizes = f"{others}, which a text has not" if others else "no length"
        raise ConfigError(f"{template!r} leaves {sizes} open; a model needs a mask whose seq_len is open, and no more")
    for length in _TRIED:
        if (axes := mask.bind(length).axes)[-2:] != ("query", "key") or "batch" in axes:
            raise ConfigError(f"{template!r} gives a mask of {', '.join(axes)}; a model's is of queries and keys")
    register()
    model.config.maskkit_mask = mask.tree()
    model.set_attn_implementation(f"maskkit_{implementation}")
    return model


def register() -> None:
    """Make the implementations "maskkit_eager", "maskkit_sdpa" and "maskkit_flex" known; `use_mask` does it."""
    attention = {"eager": _eager_forward, "sdpa": sdpa_attention_forward, "flex": flex_attention_forward}
    masks = {"eager": _eager_mask, "sdpa": _sdpa_mask, "flex": _flex_mask}
    for name in IMPLEMENTATIONS:
        AttentionInterface.register(f"maskkit_{name}", attention[name])
        AttentionMaskInterface.register(f"maskkit_{name}", masks[name])


@frozen(kw_only=True)
class _RealKeys(AttentionMask):
    """Sample b: every query sees the keys that are no padding."""

    name = "real_keys"
    axes = ("batch", "query", "key")
    real: Any = field(eq=by_content)
    queries: int

    @property
    def shape(self) -> tuple[int, ...]:
        batch, keys = self.real.shape
        return (batch, self.queries, keys)

    def allows(self, b: Any, q: Any, k: Any) -> Any:
        return take(self.real, b, k) & (q >= 0)

    @cached_property
    def _runs(self) -> Spans:
        return Spans.from_bool(fetched(self.real))

    @property
    def intervals(self) -> int:
        return len(self._runs)

    def spans(self, b: Any, q: Any) -> Spans:
        return self._runs.take(b).only(q >= 0)


@lru_cache(maxsize=64)
def _template(saved: str) -> Template:
    """The template in a config, from its text: every forward asks for it."""
    return Template.of(json.loads(saved))


def _mask(
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    attention_mask: Any = None,
    config: Any = None,
    **_: Any,
) -> Any:
    """The part of the bound mask that this call needs, with the padding of the batch.

    Takes the arguments that transformers gives every mask function, by their names.
    """
    q_offset, kv_offset = int(q_offset), int(kv_offset)
    length = max(kv_offset + kv_length, q_offset + q_length)
    whole = _template(json.dumps(config.maskkit_mask)).bind(length)
    mask = whole[..., q_offset : q_offset + q_length, kv_offset : kv_offset + kv_length]
    if attention_mask is None:
        return mask
    real = attention_mask[:, kv_offset : kv_offset + kv_length].bool()
    if real.shape[1] < kv_length:  # a static cache is longer than what has been seen
        real = torch.nn.functional.pad(real, (0, kv_length - real.shape[1]))
    return mask & _RealKeys(real=real, queries=q_length)


# A compiled model takes masks as they are: Torch would trace the work of NumPy, operation by operation.


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _sdpa_mask(batch_size: int, *args: Any, device: Any = "cpu", **kwargs: Any) -> torch.Tensor:
    """(batch, heads or 1, queries, keys), True where allowed."""
    allowed: torch.Tensor = _mask(*args, **kwargs).allowed("torch", "bool", device, form="heads")
    return allowed.expand(batch_size, -1, -1, -1)


def _eager_mask(*args: Any, dtype: torch.dtype = torch.float32, **kwargs: Any) -> torch.Tensor:
    """0 where allowed, the dtype's lowest number where blocked, as the models' own eager attention expects."""
    allowed = _sdpa_mask(*args, **kwargs)
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _flex_mask(batch_size: int, *args: Any, device: Any = "cpu", **kwargs: Any) -> Any:
    """A BlockMask."""
    return _mask(*args, **kwargs).to_flex(device=device)


def _eager_forward(module: Any, *args: Any, **kwargs: Any) -> Any:
    """The eager attention of the model that the module belongs to."""
    return sys.modules[type(module).__module__].eager_attention_forward(module, *args, **kwargs)
