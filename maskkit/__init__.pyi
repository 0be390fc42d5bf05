# isort: skip_file
# The front door, by theme; `__init__.py` reads this file.

__version__: str
__all__: list[str]

# Ask by name.
from .api import config as config
from .api import create as create
from .api import find as find
from .api import from_dict as from_dict
from .api import info as info
from .api import load as load
from .api import names as names
from .api import parse as parse
from .api import register as register
from .api import to_dict as to_dict
from .registry.catalog import provider_of as provider_of
from .configs.files import read_section as read_section
from .configs.template import Template as Template

# Write a mask.
from .masks.mask import AttentionMask as AttentionMask
from .masks.mask import Mask as Mask
from .masks.mask import MaskGroup as MaskGroup
from .masks.spans import Spans as Spans
from .arrays.indices import take as take
from .arrays.randomness import random_bits as random_bits
from .arrays.randomness import seed_or_new as seed_or_new
from .arrays.randomness import threshold as threshold
from .registry.hookspecs import hookimpl as hookimpl

# Compute attention.
from .kernels.attend import attend as attend
from .kernels.attend import plan as plan
from .kernels.problem import Problem as Problem
from .kernels.shards import Shards as Shards
from .kernels.shards import shards as shards

# Write a layer, a strategy, a kernel, another kind.
from .configs.fields import build as build
from .configs.fields import parameters as parameters
from .registry.item import KERAS_OPTIONS as KERAS_OPTIONS
from .registry.item import Attention as Attention
from .registry.item import Cost as Cost
from .registry.item import Item as Item
from .registry.item import Kernel as Kernel
from .registry.item import Kind as Kind
from .registry.item import Settings as Settings
from .registry.item import Strategy as Strategy
from .registry.item import lazy as lazy

# Validators of fields, and rules between them.
from .validators import array as array
from .validators import at_most as at_most
from .validators import below as below
from .validators import exactly_one as exactly_one
from .validators import multiple as multiple
from .validators import non_negative as non_negative
from .validators import odd as odd
from .validators import one_of as one_of
from .validators import only_with as only_with
from .validators import optional as optional
from .validators import positive as positive
from .validators import probability as probability
from .validators import rate as rate
from .validators import ratio_range as ratio_range
from .validators import scale_range as scale_range
from .validators import seed as seed
from .validators import shaped as shaped
from .validators import within as within

# Arrays from elsewhere.
from .arrays.fields import as_array as as_array
from .arrays.fields import as_flags as as_flags
from .arrays.fields import by_content as by_content
from .arrays.libraries import host as host
from .masks.given import from_array as from_array
from .masks.from_flex import from_flex as from_flex
from .masks.from_flex import from_form as from_form
from .masks.beside import stack as stack
from .masks.beside import direct_sum as direct_sum
from .masks.beside import grid as grid
from .masks.beside import from_spans as from_spans
from .masks.rows import plane_spans as plane_spans
from .masks.padding import PaddingMask as PaddingMask
from .masks.padding import is_of_tokens as is_of_tokens
from .registry.extensions import backend as backend

# Functions known from factories.
from .functional.apply import apply_mask as apply_mask
from .functional.attention import AttentionType as AttentionType
from .functional.attention import create_attention_from_config as create_attention_from_config
from .functional.attention import create_attention_layer as create_attention_layer
from .functional.attention import get_attention_info as get_attention_info
from .functional.attention import validate_attention_config as validate_attention_config
from .functional.flex import flex_attention as flex_attention
from .functional.masks import MaskConfig as MaskConfig
from .functional.masks import MaskFactory as MaskFactory
from .functional.masks import MaskType as MaskType
from .functional.masks import combine_masks as combine_masks
from .functional.masks import create_mask as create_mask
from .functional.masks import get_mask_info as get_mask_info
from .functional.masks import visualize_mask as visualize_mask

# Errors.
from .errors import BrokenPlugin as BrokenPlugin
from .errors import ConfigError as ConfigError
from .errors import MaskkitError as MaskkitError
from .errors import NoFit as NoFit
from .errors import TooLarge as TooLarge
from .errors import UnknownName as UnknownName

# Modules.
from . import arrays as arrays
from . import errors as errors
from . import limits as limits
from . import testing as testing
from . import validators as validators
