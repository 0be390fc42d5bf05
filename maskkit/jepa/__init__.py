"""What JEPA masking strategies share: grids, random numbers by sample, samplers, and masks in all their forms.

Imported when first used. Drawing is NumPy; Torch is imported where a mask is asked for as a tensor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "maskkit.item": ("Settings",),
    "maskkit.jepa.attempts": ("first_success",),
    "maskkit.jepa.batch": ("MaskBatch", "MaskGroups", "Packed"),
    "maskkit.jepa.blocks": ("Blocks",),
    "maskkit.jepa.blockwise": ("BlockWise",),
    "maskkit.jepa.counter": (
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
    "maskkit.jepa.dataloader": ("MaskCollator", "Numbered", "index_lists"),
    "maskkit.jepa.grid": ("apart", "image_grid", "image_size", "paint", "video_grid"),
    "maskkit.jepa.indices": ("Indices",),
    "maskkit.jepa.nested": ("listed", "strategy_config", "with_parameters", "with_seed"),
    "maskkit.jepa.plans": ("OVERLAPS", "BlockPlan", "BlockRequest"),
    "maskkit.jepa.pydataset": ("FollowEpoch", "MaskedPyDataset"),
    "maskkit.jepa.ratios": ("exact_count", "open_ratio", "share"),
    "maskkit.jepa.runs": ("span_numbers",),
    "maskkit.jepa.sampler": ("Sampler",),
    "maskkit.jepa.schedules": ("Schedule",),
    "maskkit.jepa.sizes": ("sizes_inside",),
    "maskkit.jepa.statistics": ("mask_statistics",),
    "maskkit.jepa.video": ("VideoBlocks", "VideoRequest"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

if TYPE_CHECKING:
    from maskkit.item import Settings as Settings
    from maskkit.jepa.attempts import first_success as first_success
    from maskkit.jepa.batch import MaskBatch as MaskBatch
    from maskkit.jepa.batch import MaskGroups as MaskGroups
    from maskkit.jepa.batch import Packed as Packed
    from maskkit.jepa.blocks import Blocks as Blocks
    from maskkit.jepa.blockwise import BlockWise as BlockWise
    from maskkit.jepa.counter import between as between
    from maskkit.jepa.counter import bits as bits
    from maskkit.jepa.counter import choose as choose
    from maskkit.jepa.counter import choose_rather as choose_rather
    from maskkit.jepa.counter import evenly as evenly
    from maskkit.jepa.counter import fork as fork
    from maskkit.jepa.counter import integers as integers
    from maskkit.jepa.counter import keys as keys
    from maskkit.jepa.counter import shuffle as shuffle
    from maskkit.jepa.counter import uniform as uniform
    from maskkit.jepa.dataloader import MaskCollator as MaskCollator
    from maskkit.jepa.dataloader import Numbered as Numbered
    from maskkit.jepa.dataloader import index_lists as index_lists
    from maskkit.jepa.grid import apart as apart
    from maskkit.jepa.grid import image_grid as image_grid
    from maskkit.jepa.grid import image_size as image_size
    from maskkit.jepa.grid import paint as paint
    from maskkit.jepa.grid import video_grid as video_grid
    from maskkit.jepa.indices import Indices as Indices
    from maskkit.jepa.nested import listed as listed
    from maskkit.jepa.nested import strategy_config as strategy_config
    from maskkit.jepa.nested import with_parameters as with_parameters
    from maskkit.jepa.nested import with_seed as with_seed
    from maskkit.jepa.plans import OVERLAPS as OVERLAPS
    from maskkit.jepa.plans import BlockPlan as BlockPlan
    from maskkit.jepa.plans import BlockRequest as BlockRequest
    from maskkit.jepa.pydataset import FollowEpoch as FollowEpoch
    from maskkit.jepa.pydataset import MaskedPyDataset as MaskedPyDataset
    from maskkit.jepa.ratios import exact_count as exact_count
    from maskkit.jepa.ratios import open_ratio as open_ratio
    from maskkit.jepa.ratios import share as share
    from maskkit.jepa.runs import span_numbers as span_numbers
    from maskkit.jepa.sampler import Sampler as Sampler
    from maskkit.jepa.schedules import Schedule as Schedule
    from maskkit.jepa.sizes import sizes_inside as sizes_inside
    from maskkit.jepa.statistics import mask_statistics as mask_statistics
    from maskkit.jepa.video import VideoBlocks as VideoBlocks
    from maskkit.jepa.video import VideoRequest as VideoRequest


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'maskkit.jepa' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
