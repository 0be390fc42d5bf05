"""What kernels share that compute by blocks: which blocks of queries read which keys, from the spans of a mask."""

from maskkit_blocks.schedule import Call, Schedules, Strips, strips, tiles

__all__ = ["Call", "Schedules", "Strips", "strips", "tiles"]
