"""The token grid: (H, W) patches of an image, (T, H, W) tubelets of a video, (N,) tokens of a sequence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from maskkit.errors import ConfigError
from maskkit.validators import Rule, is_integer
from maskkit_jepa.randomness import Array, Bools, Ints

Grid = tuple[int, ...]
"""Tokens along each axis; positions are numbered in C order, the last axis fastest."""


def _is_size(value: Any) -> bool:
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    return len(pair) == 2 and all(is_integer(side) and side > 0 for side in pair)


image_size = Rule("must be a positive integer, or a pair (height, width) of them", _is_size)
"""A validator for `input_size: int | tuple[int, int]`."""


def image_grid(input_size: int | tuple[int, int], patch_size: int, name: str = "patch_size") -> Grid:
    """(H, W): the patches of an image; `name` is what messages call their size.

    Raises:
        ConfigError: the sides are no multiples of the patch, or there is only one patch.
    """
    grid = tuple(_share("input_size", side, name, patch_size) for side in _pair(input_size))
    return _more_than_one(grid, input_size, patch_size)


def video_grid(num_frames: int, tubelet_size: int, input_size: int | tuple[int, int], patch_size: int) -> Grid:
    """(T, H, W): the tubelets of a clip, `tubelet_size` frames of a patch each. Errors as `image_grid`."""
    frames = _share("num_frames", num_frames, "tubelet_size", tubelet_size)
    sides = (_share("input_size", side, "patch_size", patch_size) for side in _pair(input_size))
    return _more_than_one((frames, *sides), input_size, patch_size)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size[0], size[1]) if isinstance(size, (tuple, list)) else (size, size)


def _share(name: str, size: int, unit_name: str, unit: int) -> int:
    if size % unit:
        below = size // unit * unit
        near = f"{below} and {below + unit} are" if below else f"{unit} is"
        raise ConfigError(f"{name} must be divisible by {unit_name} {unit}, got {size} ({near})")
    return size // unit


def _more_than_one(grid: Grid, input_size: int | tuple[int, int], patch_size: int) -> Grid:
    if math.prod(grid) == 1:
        raise ConfigError(
            f"input_size must be larger than one patch of {patch_size}, got {input_size}: one patch leaves nothing to "
            f"predict from"
        )
    return grid


def shown(grid: Grid) -> str:
    """`14 x 14`."""
    return " x ".join(map(str, grid))


def paint(boxes: Array, grid: Grid) -> Bools:
    """Boxes as booleans on the grid: (..., 2 * axes) -> (..., N).

    A box is its corner and then its extent, an entry for each axis of the grid: on images (top, left, height, width).
    """
    axes = len(grid)
    painted = None
    for axis, size in enumerate(grid):
        low = boxes[..., axis, None]
        inside = (np.arange(size) - low).astype(np.uint64) < boxes[..., axes + axis, None].astype(np.uint64)
        inside = inside.reshape(*inside.shape[:-1], *(size if a == axis else 1 for a in range(axes)))
        painted = inside if painted is None else painted & inside
    assert painted is not None
    return painted.reshape(*boxes.shape[:-1], math.prod(grid))


def apart(one: Array, other: Array) -> Bools:
    """Whether boxes (top, left, height, width) share no token: (..., 4) against (..., 4)."""
    clear: Bools = one[..., 0] >= other[..., 0] + other[..., 2]
    clear = clear | (other[..., 0] >= one[..., 0] + one[..., 2])
    clear |= one[..., 1] >= other[..., 1] + other[..., 3]
    clear |= other[..., 1] >= one[..., 1] + one[..., 3]
    return clear


def block_places(grid: tuple[int, int], height: int, width: int) -> Ints:
    """All places of a block of one size, as boxes (places, 4)."""
    corners = np.indices((grid[0] - height + 1, grid[1] - width + 1)).reshape(2, -1).T
    return np.column_stack([corners, np.full((len(corners), 2), (height, width))]).astype(np.int64)


def free_in(free: Bools, grid: tuple[int, int], boxes: Array) -> Ints:
    """How many free tokens each box has: (R, N) booleans and (P, 4) boxes -> (R, P)."""
    summed = np.zeros((len(free), grid[0] + 1, grid[1] + 1), np.int64)
    summed[:, 1:, 1:] = free.reshape(-1, *grid).cumsum(axis=1).cumsum(axis=2)
    top, left = boxes[:, 0], boxes[:, 1]
    bottom, right = top + boxes[:, 2], left + boxes[:, 3]
    return summed[:, bottom, right] - summed[:, top, right] - summed[:, bottom, left] + summed[:, top, left]
