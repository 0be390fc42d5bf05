"""Pictures as SVG, without a library: exact while small, a grid of shares when large."""

from __future__ import annotations

import re
from html import escape

import numpy as np
from maskkit.masks.draw.shares import FEW, Shares, shares
from maskkit.masks.draw.titles import name_of, wrapped
from maskkit.masks.pattern import Pattern
from maskkit.masks.spans import Spans

_MOST_CELLS = 256
_SIDE = 320
"""Pixels of the longer side of a plane."""
_LETTER = 7
"""Pixels that a letter of the label takes."""
_LEAST = 150
"""Pixels that the label has at least."""
_LINE = 15
"""Pixels from one line of the label to the next."""
_LEVELS = 16
"""Opacities that a reduced picture distinguishes between nothing and all."""


def svg(mask: Pattern, title: str | None = None, most: int = FEW) -> str:
    """The mask as an SVG document: dark where allowed; queries run down, keys right. Of a batch, the first `most`."""
    planes = shares(mask, _MOST_CELLS, _MOST_CELLS)[:most]
    height, width = planes[0].values.shape
    unit = _SIDE / max(height, width)
    gap = 12
    total = max(len(planes) * (width * unit + gap), _LEAST) + gap
    lines = wrapped(title or name_of(mask), int((total - gap) / _LETTER))
    label = "".join(f'<text x="{gap}" y="{18 + _LINE * i}">{escape(line)}</text>' for i, line in enumerate(lines))
    sizes = " x ".join(f"{axis} {size:,}" for axis, size in zip(mask.axes, mask.shape, strict=True))
    notes = [sizes, *filter(None, re.split(r"(?<=\d), (?=of)", planes[0].scale()))]
    top = 28 + _LINE * (len(lines) - 1)
    bottom = top + height * unit
    end = bottom + 7 + _LINE * len(notes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total:.0f}" height="{end:.0f}" '
        f'viewBox="0 0 {total:.0f} {end:.0f}" font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="#fff"/>{label}',
        *(
            f'<text x="{gap}" y="{bottom + _LINE * i:.0f}" fill="#666">{escape(note)}</text>'
            for i, note in enumerate(notes, 1)
        ),
    ]
    for i, plane in enumerate(planes):
        parts.append(
            f'<g transform="translate({gap + i * (width * unit + gap):.3f} {top}) scale({unit:.6f})" '
            f'shape-rendering="crispEdges"><rect width="{width}" height="{height}" fill="#eef1f6"/>{_cells(plane)}</g>'
        )
    return "".join([*parts, "</svg>"])


def _cells(plane: Shares) -> str:
    """One path per opacity, whose rectangles are the runs of a row."""
    levels = np.ceil(plane.values * _LEVELS).astype(int)
    levels[(plane.values < 1) & (levels == _LEVELS)] = _LEVELS - 1
    found = []
    for level in np.unique(levels[levels > 0]):
        runs = Spans.from_bool(levels == level)
        rectangles = "".join(
            f"M{lo} {row}h{hi - lo}v1h-{hi - lo}z" for row in range(len(levels)) for lo, hi in runs.row(row)
        )
        found.append(f'<path fill="#1b3a6b" fill-opacity="{level / _LEVELS:g}" d="{rectangles}"/>')
    return "".join(found)
