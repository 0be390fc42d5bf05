"""Pictures in the terminal: Unicode half blocks, two cells a character, and shades where a cell stands for many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from maskkit.masks.draw.shares import FEW, Shares, shares
from maskkit.masks.pattern import Pattern

_HALVES = " ▄▀█"  # 2 * upper + lower
_SHADES = " ░▒▓█"


def text(mask: Pattern, width: int = 80, height: int | None = None, most: int = FEW) -> str:
    """The mask drawn with characters: full where allowed, blank where blocked.

    Up to `width` columns and `height` lines (None: as many as the shape asks for) every position is drawn, two rows a
    line. Larger masks are reduced, and the last line says the scale; a shade is the share that is allowed, blank
    only where nothing is and full only where all is. Of a batch or of heads, the
    first `most` are drawn.
    """
    inside = max(width - 2, 1)
    drawn = shares(mask, 2 * max(height - 3, 1) if height else max(2 * inside, 2), inside)
    pictures = [_framed(plane, named=len(drawn) > 1) for plane in drawn[:most]]
    if left_out := len(drawn) - len(pictures):
        pictures.append(f"and {left_out} more")
    return "\n".join(pictures)


def _framed(plane: Shares, named: bool) -> str:
    """The picture in a frame, so that blank edges show."""
    lines = halves(plane.values) if plane.exact else shades(plane.values)
    width = len(lines[0])
    title = f" {plane.place} " if named else ""
    above = []
    if len(title) > width:
        above, title = [plane.place], ""
    top = "┌" + title + "─" * (width - len(title)) + "┐"
    bottom = "└" + "─" * width + "┘"
    frame = [*above, top, *(f"│{line}│" for line in lines), bottom]
    scale = plane.scale()
    return "\n".join([*frame, scale] if scale else frame)


def halves(values: npt.NDArray[np.float64]) -> list[str]:
    """0/1 values, two rows a line."""
    cells = values > 0
    if len(cells) % 2:
        cells = np.vstack([cells, np.zeros((1, cells.shape[1]), np.bool_)])
    codes = 2 * cells[0::2] + cells[1::2]
    return ["".join(_HALVES[code] for code in row) for row in codes]


def shades(values: npt.NDArray[np.float64]) -> list[str]:
    """Shares, two rows a line: half blocks where both cells are all or nothing, else one shade for their mean."""
    if len(values) % 2:
        values = np.vstack([values, values[-1:]])
    return ["".join(map(_shade, upper, lower)) for upper, lower in zip(values[0::2], values[1::2], strict=True)]


def _shade(upper: float, lower: float) -> str:
    if upper in (0, 1) and lower in (0, 1):
        return _HALVES[int(2 * upper + lower)]
    return _SHADES[min(3, 1 + int((upper + lower) / 2 * 3))]
