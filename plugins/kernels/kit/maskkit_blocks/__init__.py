"""What kernels share that compute by blocks: which blocks of queries read which keys, from the spans of a mask."""

from maskkit_blocks.grid import Runs, Strips, strips, tiles
from maskkit_blocks.pieces import Blocks, blocks
from maskkit_blocks.schedule import Call, Schedules

__all__ = ["Blocks", "Call", "Runs", "Schedules", "Strips", "blocks", "strips", "tiles"]
