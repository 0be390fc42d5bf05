"""maskkit: masks as values, and a registry of masks, attention layers and JEPA masking strategies.

Everything here is imported when it is first used: `import maskkit` costs next to nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

logging.getLogger("maskkit").addHandler(logging.NullHandler())

_HOME = {
    "maskkit.algebra": ("from_array",),
    "maskkit.api": ("config", "create", "from_dict", "info", "load", "names", "parse", "register", "to_dict"),
    "maskkit.apply": ("apply_mask",),
    "maskkit.arrays": ("as_array", "by_content", "host", "take"),
    "maskkit.attention": (
        "TrainableAttention",
        "check_divisible",
        "initializer",
        "keras_config",
        "lazy",
        "regularizer",
    ),
    "maskkit.attention_factory": (
        "AttentionType",
        "adapt_params",
        "create_attention_from_config",
        "create_attention_layer",
        "get_attention_info",
        "validate_attention_config",
    ),
    "maskkit.errors": ("BrokenPlugin", "ConfigError", "MaskkitError", "TooLarge", "UnknownName"),
    "maskkit.hookspecs": ("hookimpl",),
    "maskkit.item": ("Attention", "Strategy"),
    "maskkit.mask": ("AttentionMask", "Mask", "MaskGroup"),
    "maskkit.mask_factory": (
        "MaskConfig",
        "MaskFactory",
        "MaskType",
        "combine_masks",
        "create_mask",
        "get_mask_info",
        "visualize_mask",
    ),
    "maskkit.pad": ("pad_sequences",),
    "maskkit.randomness": ("random_bits", "seed_or_new", "threshold"),
    "maskkit.spans": ("Spans",),
    "maskkit.validators": (
        "array",
        "non_negative",
        "odd",
        "one_of",
        "optional",
        "positive",
        "probability",
        "rate",
        "ratio_range",
        "scale_range",
        "seed",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

if TYPE_CHECKING:
    from maskkit.algebra import from_array as from_array
    from maskkit.api import config as config
    from maskkit.api import create as create
    from maskkit.api import from_dict as from_dict
    from maskkit.api import info as info
    from maskkit.api import load as load
    from maskkit.api import names as names
    from maskkit.api import parse as parse
    from maskkit.api import register as register
    from maskkit.api import to_dict as to_dict
    from maskkit.apply import apply_mask as apply_mask
    from maskkit.arrays import as_array as as_array
    from maskkit.arrays import by_content as by_content
    from maskkit.arrays import host as host
    from maskkit.arrays import take as take
    from maskkit.attention import TrainableAttention as TrainableAttention
    from maskkit.attention import check_divisible as check_divisible
    from maskkit.attention import initializer as initializer
    from maskkit.attention import keras_config as keras_config
    from maskkit.attention import lazy as lazy
    from maskkit.attention import regularizer as regularizer
    from maskkit.attention_factory import AttentionType as AttentionType
    from maskkit.attention_factory import adapt_params as adapt_params
    from maskkit.attention_factory import create_attention_from_config as create_attention_from_config
    from maskkit.attention_factory import create_attention_layer as create_attention_layer
    from maskkit.attention_factory import get_attention_info as get_attention_info
    from maskkit.attention_factory import validate_attention_config as validate_attention_config
    from maskkit.errors import BrokenPlugin as BrokenPlugin
    from maskkit.errors import ConfigError as ConfigError
    from maskkit.errors import MaskkitError as MaskkitError
    from maskkit.errors import TooLarge as TooLarge
    from maskkit.errors import UnknownName as UnknownName
    from maskkit.hookspecs import hookimpl as hookimpl
    from maskkit.item import Attention as Attention
    from maskkit.item import Strategy as Strategy
    from maskkit.mask import AttentionMask as AttentionMask
    from maskkit.mask import Mask as Mask
    from maskkit.mask import MaskGroup as MaskGroup
    from maskkit.mask_factory import MaskConfig as MaskConfig
    from maskkit.mask_factory import MaskFactory as MaskFactory
    from maskkit.mask_factory import MaskType as MaskType
    from maskkit.mask_factory import combine_masks as combine_masks
    from maskkit.mask_factory import create_mask as create_mask
    from maskkit.mask_factory import get_mask_info as get_mask_info
    from maskkit.mask_factory import visualize_mask as visualize_mask
    from maskkit.pad import pad_sequences as pad_sequences
    from maskkit.randomness import random_bits as random_bits
    from maskkit.randomness import seed_or_new as seed_or_new
    from maskkit.randomness import threshold as threshold
    from maskkit.spans import Spans as Spans
    from maskkit.validators import array as array
    from maskkit.validators import non_negative as non_negative
    from maskkit.validators import odd as odd
    from maskkit.validators import one_of as one_of
    from maskkit.validators import optional as optional
    from maskkit.validators import positive as positive
    from maskkit.validators import probability as probability
    from maskkit.validators import rate as rate
    from maskkit.validators import ratio_range as ratio_range
    from maskkit.validators import scale_range as scale_range
    from maskkit.validators import seed as seed


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562)."""
    if name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    elif name in ("arrays", "backends", "limits", "spans", "testing", "validators"):
        return import_module(f"maskkit.{name}")
    else:
        raise AttributeError(f"module 'maskkit' has no attribute {name!r}")
    # Only when the submodule import has not put a module of the same name here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
