"""Context and targets on the token grid: as text, as SVG, and with matplotlib."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from attrs import evolve
from maskkit.errors import ConfigError
from maskkit.jepa.batch import MaskBatch
from maskkit.jepa.counter import Array, Ints
from maskkit.jepa.grid import Grid, shown
from maskkit.jepa.statistics import host

log = logging.getLogger("maskkit.draw")

CONTEXT_COLOUR = "#3399ff"
COLOURS = ("#e41a1c", "#4daf4a", "#984ea3", "#ff7f00", "#ffd92f", "#a65628", "#f781bf", "#999999")
"""Of targets, in turn."""
NOTHING_COLOUR = "#12151c"
_LABELS = "123456789abcdefghijklmnopqrstuvwxyz"
_BLANK, _CONTEXT, _SEVERAL, _BOTH = -1, -2, -3, -4
_CHARACTERS = {_BLANK: " ", _CONTEXT: "░", _SEVERAL: "+", _BOTH: "!"}


def codes(batch: MaskBatch, sample: int) -> list[Ints]:
    """What each token of a sample is, as planes (rows, columns): a target's number, or one of the codes above."""
    context, targets = (part[sample] for part in batch.arrays)
    hits = targets.sum(axis=0)
    found = np.where(hits == 0, _BLANK, targets.argmax(axis=0))
    found[hits > 1] = _SEVERAL
    found[context & (hits == 0)] = _CONTEXT
    found[context & (hits > 0)] = _BOTH
    return _planes(found, batch.grid)


def _planes(values: Array, grid: Grid) -> list[Any]:
    """A video is a plane for each frame, a sequence one of a single row."""
    if len(grid) == 1:
        return [values.reshape(1, -1)]
    return list(values.reshape(-1, *grid[-2:]))


# -- text -------------------------------------------------------------------------------------------------------------


def text(batch: MaskBatch, width: int = 80, sample: int = 0) -> str:
    """One sample in characters: `░` context, `1 2 3 ..` targets, `+` several targets, `!` context and target.

    Two characters a token where that fits into `width`, else one; of grids that are wider still, every k-th token is
    drawn, and the last line says so. Tokens that are neither are blank. The frames of a video stand side
    by side, a long sequence goes on in the next line.
    """
    planes = codes(batch, sample)
    inside = max(width - 2, 1)
    if len(batch.grid) == 1:
        return "\n".join(_framed([_characters(row, 1) for row in _wrapped(planes[0][0], inside)]))
    columns = planes[0].shape[1]
    step = -(-columns // inside)
    wide = 2 if 2 * columns <= inside else 1
    framed = [_framed([_characters(row, wide) for row in plane[::step, ::step]]) for plane in planes]
    lines = _side_by_side(framed, width)
    return "\n".join(
        [*lines, f"1 character = {step} x {step} tokens, of which the first is shown"] if step > 1 else lines
    )


def _wrapped(row: Ints, width: int) -> list[Ints]:
    return [np.pad(part, (0, min(width, len(row)) - len(part)), constant_values=_BLANK) for part in _cut(row, width)]


def _cut(row: Ints, width: int) -> list[Ints]:
    return [row[start : start + width] for start in range(0, len(row), width)]


def _characters(row: Ints, wide: int) -> str:
    return "".join(_character(code) * wide for code in row.tolist())


def _character(code: int) -> str:
    return _CHARACTERS[code] if code < 0 else _LABELS[code % len(_LABELS)]


def _framed(lines: list[str]) -> list[str]:
    rule = "─" * len(lines[0])
    return [f"┌{rule}┐", *(f"│{line}│" for line in lines), f"└{rule}┘"]


def _side_by_side(blocks: list[list[str]], width: int) -> list[str]:
    """Blocks of equal size in rows, as many in a row as fit."""
    a_row = max(1, (width + 1) // (len(blocks[0][0]) + 1))
    rows = (blocks[start : start + a_row] for start in range(0, len(blocks), a_row))
    return [" ".join(parts) for row in rows for parts in zip(*row, strict=True)]


# -- SVG --------------------------------------------------------------------------------------------------------------

_SIDE, _GAP = 280, 12


def svg(batch: MaskBatch, sample: int = 0) -> str:
    """One sample as an SVG document."""
    return svg_row({f"context and {batch.shape[1]} targets on {shown(batch.grid)} tokens": (batch, sample)})


def svg_row(pictures: Mapping[str, tuple[MaskBatch, int]]) -> str:
    """Samples side by side, each under its title, the frames of a video in one picture."""
    parts, left, height = [], _GAP, 0
    for title, (batch, sample) in pictures.items():
        plane = np.concatenate(_spaced(codes(batch, sample)), axis=1)
        unit = min(_SIDE / plane.shape[0], max(_SIDE / plane.shape[1], 8 if len(batch.grid) != 2 else 0))
        width = max(plane.shape[1] * unit, 7 * len(title))
        parts.append(
            f'<text x="{left}" y="18">{escape(title)}</text>'
            f'<g transform="translate({left} 28) scale({unit:.4f})" shape-rendering="crispEdges">'
            f"{_rectangles(plane)}</g>"
        )
        left, height = left + round(width) + _GAP, max(height, round(plane.shape[0] * unit))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left}" height="{height + 40}" '
        f'viewBox="0 0 {left} {height + 40}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


_SPACE = -9


def _spaced(planes: list[Ints]) -> list[Ints]:
    """Planes with an empty column between them."""
    column = np.full((planes[0].shape[0], 1), _SPACE)
    return [part for plane in planes for part in (plane, column)][:-1]


def _rectangles(plane: Ints) -> str:
    """One rectangle for each run of equal tokens in a row."""
    found = []
    for y, row in enumerate(plane.tolist()):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end] == row[x]:
                end += 1
            if row[x] != _SPACE:
                found.append(f'<rect x="{x}" y="{y}" width="{end - x}" height="1" fill="{_colour(row[x])}"/>')
            x = end
    return "".join(found)


def _colour(code: int) -> str:
    special = {
        _BLANK: NOTHING_COLOUR,
        _CONTEXT: CONTEXT_COLOUR,
        _SEVERAL: "#ffffff",
        _BOTH: "#ff00ff",
        _SPACE: "#ffffff",
    }
    return special[code] if code < 0 else COLOURS[code % len(COLOURS)]


# -- matplotlib -------------------------------------------------------------------------------------------------------


def plot(batch: MaskBatch, ax: Any = None, sample: int = 0) -> Any:
    """One sample on matplotlib axes: context blue, targets in colours with their numbers, several at once white."""
    if ax is None:
        ax = new_figure((5, 5)).add_subplot()
    planes = codes(batch, sample)
    draw_colours(ax, np.concatenate(_spaced(planes), axis=1))
    if len(planes) == 1:
        write_numbers(ax, batch.arrays[1][sample].reshape(-1, *planes[0].shape))
    ax.set_title(f"context and {batch.shape[1]} targets", fontsize=10)
    return ax


def figure(pictures: Mapping[str, tuple[MaskBatch, int]]) -> Any:
    """A figure of samples side by side, each under its title."""
    drawn = new_figure((3.2 * len(pictures) + 0.3, 3.5))
    for ax, (title, (batch, sample)) in zip(
        drawn.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True
    ):
        plot(batch, ax, sample).set_title(title, fontsize=10)
    return drawn


def new_figure(size: Sequence[float]) -> Any:
    """A figure that pyplot does not know of, so that nothing must be closed."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ConfigError("figures need matplotlib: pip install 'maskkit[plot]'") from error
    return Figure(figsize=(size[0], size[1]), layout="constrained")


def draw_colours(ax: Any, plane: Ints) -> None:
    """Tokens in the colours of what they are."""
    from matplotlib.colors import to_rgb

    kinds, inverse = np.unique(plane, return_inverse=True)
    palette = np.array([to_rgb(_colour(kind)) for kind in kinds.tolist()])
    ax.imshow(palette[inverse.reshape(plane.shape)], interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])


def write_numbers(ax: Any, targets: Array) -> None:
    """The number of each target at its middle."""
    for i, target in enumerate(targets):
        if target.any():
            y, x = np.argwhere(target).mean(axis=0)
            ax.text(x, y, str(i + 1), ha="center", va="center", color="white", fontweight="bold", fontsize=9)


def overview(context: Any, targets: Any, grid: Grid, sample: int, size: Sequence[float], path: Any = None) -> Any:
    """One sample in three panels: the context, the targets, and both. (B, N) and (B, T, N) booleans of any library."""
    batch = from_arrays(context, targets, grid)
    drawn = new_figure(size)
    left, middle, right = drawn.subplots(1, 3)
    for ax, parts, title in (
        (left, (True, False), "context"),
        (middle, (False, True), "targets"),
        (right, (True, True), "context and targets"),
    ):
        plot(_only(batch, *parts), ax, sample).set_title(title)
    return saved(drawn, path)


def _only(batch: MaskBatch, context: bool, targets: bool) -> MaskBatch:
    """The batch without its context, or without its targets."""
    seen, hidden = batch.arrays
    return evolve(batch, context=seen & context, targets=hidden & targets)


def from_arrays(context: Any, targets: Any, grid: Grid) -> MaskBatch:
    """A batch of masks that came from elsewhere."""
    context, targets = host(context), host(targets)
    return MaskBatch(context=context, targets=targets, grid=grid, sample_keys=np.zeros(len(context), np.uint64))


def saved(drawn: Any, path: Any) -> Any:
    """The figure, written to a file if a path is given."""
    if path is not None:
        drawn.savefig(path, dpi=120)
        log.info("saved mask visualization to %s", path)
    return drawn


def level_panels(masks: Mapping[str, Any], grid: Grid, sample: int, size: Sequence[float], path: Any = None) -> Any:
    """One sample, a column for each level: the contexts above, the targets below."""
    drawn = new_figure(size)
    rows = drawn.subplots(2, len(masks), squeeze=False)
    for column, (name, level) in enumerate(masks.items()):
        batch = from_arrays(level["context"], level["targets"], grid)
        plot(_only(batch, True, False), rows[0, column], sample).set_title(f"{name}: context")
        plot(_only(batch, False, True), rows[1, column], sample).set_title(f"{name}: targets")
    return saved(drawn, path)


def level_overlays(masks: Mapping[str, Any], grid: Grid, sample: int, size: Sequence[float], path: Any = None) -> Any:
    """One sample, a panel for each level: context and targets."""
    drawn = new_figure(size)
    drawn.suptitle("context and targets of each level")
    for ax, (name, level) in zip(drawn.subplots(1, len(masks), squeeze=False)[0], masks.items(), strict=True):
        plot(from_arrays(level["context"], level["targets"], grid), ax, sample).set_title(name)
    return saved(drawn, path)
