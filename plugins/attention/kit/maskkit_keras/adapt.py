"""Parameters of layers under one set of names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskkit import find, parameters


def adapt_params(
    attention_type: str, /, *, dim: int, num_heads: int = 8, dropout: float = 0.0, **own: Any
) -> dict[str, Any]:
    """The parameters of a layer by its own names, so that one transformer block can be written for all of them.

    Args:
        attention_type: the layer's short name.
        dim: width of the tokens, or channels of the map.
        num_heads: number of heads; where keys have heads of their own there are as many, and where a head's width must
            be given it is `dim // num_heads`.
        dropout: of attention weights. Layers without dropout take no notice, as fnet does of all three.
        own: parameters that only this layer has, as it names them; they win.

    Returns:
        What `create_attention_layer(attention_type, **params)` takes.
    """
    fields = parameters(find(attention_type, "attention"))
    width = dim // num_heads
    shared = ((dim, _DIM), (num_heads, _HEADS), (dropout, _DROPOUT))
    adapted: dict[str, Any] = {name: value for value, synonyms in shared for name in _first(synonyms, fields)}
    needed = {"n_kv_head": num_heads, "key_dim": width, "head_dim": width}
    return adapted | {name: needed[name] for name in needed if name in fields and fields[name].required} | own


_DIM = ("embed_dim", "d_model", "dim", "channels", "attention_channels")
_HEADS = ("num_heads", "n_head")
_DROPOUT = ("dropout_rate", "dropout", "attn_dropout_rate")


def _first(synonyms: tuple[str, ...], fields: Mapping[str, Any]) -> list[str]:
    return [name for name in synonyms if name in fields][:1]
