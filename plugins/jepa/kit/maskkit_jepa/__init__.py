"""What JEPA masking strategies share: grids, random numbers by sample, samplers, and masks in all their forms.

Imported when first used. Drawing is NumPy; Torch is imported where a mask is asked for as a tensor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "maskkit.registry.item": ("Settings",),
    "maskkit_jepa.attempts": ("first_success",),
    "maskkit_jepa.batch": ("MaskBatch", "MaskGroups", "Packed"),
    "maskkit_jepa.blocks": ("Blocks",),
    "maskkit_jepa.blockwise": ("BlockWise",),
    "maskkit_jepa.counter": (
        "between",
        "bits",
        "choose",
        "choose_rather",
        "evenly",
        "fork",
        "integers",
        "keys",
        "shuffle",
        "uniform",
    ),
    "maskkit_jepa.dataloader": ("MaskCollator", "Numbered", "index_lists"),
    "maskkit_jepa.grid": ("apart", "image_grid", "image_size", "paint", "video_grid"),
    "maskkit_jepa.indices": ("Indices",),
    "maskkit_jepa.nested": ("listed", "strategy_config", "with_parameters", "with_seed"),
    "maskkit_jepa.plans": ("OVERLAPS", "BlockPlan", "BlockRequest"),
    "maskkit_jepa.pydataset": ("FollowEpoch", "MaskedPyDataset"),
    "maskkit_jepa.ratios": ("exact_count", "open_ratio", "share"),
    "maskkit_jepa.runs": ("span_numbers",),
    "maskkit_jepa.sampler": ("Sampler",),
    "maskkit_jepa.schedules": ("Schedule",),
    "maskkit_jepa.sizes": ("sizes_inside",),
    "maskkit_jepa.statistics": ("mask_statistics",),
    "maskkit_jepa.video": ("VideoBlocks", "VideoRequest"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

if TYPE_CHECKING:
    from maskkit.registry.item import Settings as Settings
    from maskkit_jepa.attempts import first_success as first_success
    from maskkit_jepa.batch import MaskBatch as MaskBatch
    from maskkit_jepa.batch import MaskGroups as MaskGroups
    from maskkit_jepa.batch import Packed as Packed
    from maskkit_jepa.blocks import Blocks as Blocks
    from maskkit_jepa.blockwise import BlockWise as BlockWise
    from maskkit_jepa.counter import between as between
    from maskkit_jepa.counter import bits as bits
    from maskkit_jepa.counter import choose as choose
    from maskkit_jepa.counter import choose_rather as choose_rather
    from maskkit_jepa.counter import evenly as evenly
    from maskkit_jepa.counter import fork as fork
    from maskkit_jepa.counter import integers as integers
    from maskkit_jepa.counter import keys as keys
    from maskkit_jepa.counter import shuffle as shuffle
    from maskkit_jepa.counter import uniform as uniform
    from maskkit_jepa.dataloader import MaskCollator as MaskCollator
    from maskkit_jepa.dataloader import Numbered as Numbered
    from maskkit_jepa.dataloader import index_lists as index_lists
    from maskkit_jepa.grid import apart as apart
    from maskkit_jepa.grid import image_grid as image_grid
    from maskkit_jepa.grid import image_size as image_size
    from maskkit_jepa.grid import paint as paint
    from maskkit_jepa.grid import video_grid as video_grid
    from maskkit_jepa.indices import Indices as Indices
    from maskkit_jepa.nested import listed as listed
    from maskkit_jepa.nested import strategy_config as strategy_config
    from maskkit_jepa.nested import with_parameters as with_parameters
    from maskkit_jepa.nested import with_seed as with_seed
    from maskkit_jepa.plans import OVERLAPS as OVERLAPS
    from maskkit_jepa.plans import BlockPlan as BlockPlan
    from maskkit_jepa.plans import BlockRequest as BlockRequest
    from maskkit_jepa.pydataset import FollowEpoch as FollowEpoch
    from maskkit_jepa.pydataset import MaskedPyDataset as MaskedPyDataset
    from maskkit_jepa.ratios import exact_count as exact_count
    from maskkit_jepa.ratios import open_ratio as open_ratio
    from maskkit_jepa.ratios import share as share
    from maskkit_jepa.runs import span_numbers as span_numbers
    from maskkit_jepa.sampler import Sampler as Sampler
    from maskkit_jepa.schedules import Schedule as Schedule
    from maskkit_jepa.sizes import sizes_inside as sizes_inside
    from maskkit_jepa.statistics import mask_statistics as mask_statistics
    from maskkit_jepa.video import VideoBlocks as VideoBlocks
    from maskkit_jepa.video import VideoRequest as VideoRequest


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'maskkit_jepa' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
