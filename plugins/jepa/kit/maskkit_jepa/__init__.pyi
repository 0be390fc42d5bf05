# isort: skip_file
# The kit's front door, by theme; `__init__.py` reads this file.

# Write a strategy: its config, and the sampler.
from .config import ImageStrategy as ImageStrategy
from .config import SeededStrategy as SeededStrategy
from .config import VideoStrategy as VideoStrategy
from .config import possible as possible
from .sampler import Sampler as Sampler
from .settings import listed as listed
from .settings import strategy_config as strategy_config
from .settings import with_parameters as with_parameters
from .settings import with_seed as with_seed
from .counts import exact_count as exact_count
from .counts import open_ratio as open_ratio
from .counts import share as share

# Grids of tokens.
from .grid import apart as apart
from .grid import image_grid as image_grid
from .grid import image_size as image_size
from .grid import paint as paint
from .grid import video_grid as video_grid

# Random numbers, by sample.
from .randomness import between as between
from .randomness import bits as bits
from .randomness import choose as choose
from .randomness import choose_rather as choose_rather
from .randomness import evenly as evenly
from .randomness import fork as fork
from .randomness import integers as integers
from .randomness import keys as keys
from .randomness import shuffle as shuffle
from .randomness import uniform as uniform

# Blocks of tokens.
from .blocks.blockwise import BlockWise as BlockWise
from .blocks.draw import Blocks as Blocks
from .blocks.plans import OVERLAPS as OVERLAPS
from .blocks.plans import BlockPlan as BlockPlan
from .blocks.plans import BlockRequest as BlockRequest
from .blocks.retries import first_success as first_success
from .blocks.sizes import sizes_inside as sizes_inside
from .blocks.video import VideoBlocks as VideoBlocks
from .blocks.video import VideoRequest as VideoRequest

# What is drawn.
from .batch.batch import MaskBatch as MaskBatch
from .batch.batch import MaskGroups as MaskGroups
from .batch.batch import batches as batches
from .batch.drawn import Packed as Packed
from .batch.indices import Indices as Indices
from .batch.statistics import mask_statistics as mask_statistics

# Beside the data.
from .loading.keras import FollowEpoch as FollowEpoch
from .loading.keras import MaskedPyDataset as MaskedPyDataset
from .loading.torch import MaskCollator as MaskCollator
from .loading.torch import Numbered as Numbered
from .loading.torch import index_lists as index_lists
