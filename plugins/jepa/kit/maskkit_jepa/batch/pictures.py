"""Context and targets on the token grid: as text, as SVG, and with matplotlib."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from attrs import evolve
from maskkit import ConfigError
from maskkit.arrays import fetched
from maskkit.outputs import printable, write_figure
from maskkit_jepa.batch.drawn import Drawn
from maskkit_jepa.grid import Grid, shown
from maskkit_jepa.randomness import Array, Ints

log = logging.getLogger("maskkit.draw")

CONTEXT_COLOUR = "#3399ff"
COLOURS = ("#e41a1c", "#4daf4a", "#984ea3", "#ff7f00", "#ffd92f", "#a65628", "#f781bf", "#999999")
"""Of targets, in turn."""
NOTHING_COLOUR = "#12151c"
_LABELS = "123456789abcdefghijklmnopqrstuvwxyz"
_BLANK, _CONTEXT, _SEVERAL, _BOTH, _SPACE = -1, -2, -3, -4, -9
TEXT_COLOURS = {"░": "34", "+": "36", "!": "1;31"} | {
    label: ("31", "32", "35", "33", "93", "91", "95", "90")[i % 8] for i, label in enumerate(_LABELS)
}
"""Of the characters of `text` on a terminal, near to those of the other pictures."""
_LINE = 64
"""Tokens of a sequence in a line of a picture."""
_CHARACTERS = {_BLANK: " ", _CONTEXT: "░", _SEVERAL: "+", _BOTH: "!"}
_WORDS = {_CONTEXT: "context", _SEVERAL: "several targets", _BOTH: "context and target", _BLANK: "neither"}


def codes(batch: Drawn, sample: int) -> list[Ints]:
    """What each token of a sample is, as planes (rows, columns): a target's number, or one of the codes above."""
    context, targets = (part[sample] for part in batch.arrays)
    hits = targets.sum(axis=0)
    found = np.where(hits == 0, _BLANK, targets.argmax(axis=0))
    found[hits > 1] = _SEVERAL
    found[context & (hits == 0)] = _CONTEXT
    found[context & (hits > 0)] = _BOTH
    return _planes(found, batch.grid)


def _planes(values: Array, grid: Grid) -> list[Any]:
    """A video is a plane for each slot of time, a sequence one of a single row."""
    if len(grid) == 1:
        return [values.reshape(1, -1)]
    return list(values.reshape(-1, *grid[-2:]))


def scenes(batch: Drawn, sample: int) -> dict[str, Ints]:
    """The planes of `codes` by name; of a video, slots that follow each other and are alike are one: `slots 0-7`.

    A long sequence goes on in the next line.
    """
    planes = codes(batch, sample)
    if len(batch.grid) == 1:
        return {"": np.stack(_wrapped(planes[0][0], _LINE, _SPACE))}
    if len(batch.grid) == 2:
        return {"": planes[0]}
    starts = [i for i in range(len(planes)) if i == 0 or not np.array_equal(planes[i], planes[i - 1])]
    spans = zip(starts, [*starts[1:], len(planes)], strict=True)
    return {f"slots {a}-{b - 1}" if b - a > 1 else f"slot {a}": planes[a] for a, b in spans}


def kinds(pictures: Iterable[tuple[Drawn, int]]) -> dict[str, list[int]]:
    """What is to be seen in pictures of samples, in words, for a legend, and the codes that stand for it."""
    pictures = list(pictures)
    seen = {code for picture in pictures for plane in codes(*picture) for code in np.unique(plane).tolist()}
    targets = max(batch.shape[1] for batch, _ in pictures)
    found = {_WORDS[_CONTEXT]: [_CONTEXT]} if _CONTEXT in seen else {}
    found["target" if targets == 1 else f"targets 1-{targets}"] = list(range(targets))
    return found | {_WORDS[code]: [code] for code in (_SEVERAL, _BOTH, _BLANK) if code in seen}


# -- text -------------------------------------------------------------------------------------------------------------


def text(batch: Drawn, width: int = 80, sample: int = 0) -> str:
    """One sample in characters: `░` context, `1 2 3 ..` targets, `+` several targets, `!` context and target.

    Two characters a token where that fits into `width`, else one; of grids that are wider still, every k-th token is
    drawn, and the last line says so. Tokens that are neither are blank. The slots of a video stand side by side, those
    that are alike are drawn once; a long sequence goes on in the next line.
    """
    inside = max(width - 2, 1)
    if len(batch.grid) == 1:
        row = codes(batch, sample)[0][0]
        return "\n".join(_framed([_characters(part, 1) for part in _wrapped(row, inside, _BLANK)]))
    planes = scenes(batch, sample)
    columns = batch.grid[-1]
    step = -(-columns // inside)
    wide = 2 if 2 * columns <= inside else 1
    framed = []
    for name, plane in planes.items():
        lines = _framed([_characters(row, wide) for row in plane[::step, ::step]])
        framed.append([name[: len(lines[0])].ljust(len(lines[0])), *lines] if name else lines)
    lines = [line.rstrip() for line in _side_by_side(framed, width)]
    return "\n".join(
        [*lines, f"1 character = {step} x {step} tokens, of which the first is shown"] if step > 1 else lines
    )


def text_row(batch: Drawn, width: int, samples: Sequence[int]) -> str:
    """Several samples in characters, side by side as far as they fit."""
    if len(samples) == 1:
        return text(batch, width, samples[0])
    share = max(width // len(samples) - 1, batch.grid[-1] + 2) if len(batch.grid) == 2 else width
    blocks = [[f"sample {i}", *text(batch, min(share, width), i).split("\n")] for i in samples]
    widest, longest = max(len(line) for block in blocks for line in block), max(map(len, blocks))
    filled = [[line.ljust(widest) for line in [*block, *[""] * (longest - len(block))]] for block in blocks]
    return "\n".join(line.rstrip() for line in _side_by_side(filled, width))


def text_legend(pictures: Iterable[tuple[Drawn, int]]) -> str:
    """What the characters of `text` mean, in a line, as far as they occur."""
    found = []
    for words, shown_as in kinds(pictures).items():
        ends = [_character(code) for code in (shown_as[0], shown_as[: len(_LABELS)][-1])]
        sign = "blank" if ends[0] == " " else "-".join(ends if len(shown_as) > 1 else ends[:1])
        found.append(f"{sign} {words.partition(' 1-')[0]}")
    return "   ".join(found)


def _wrapped(row: Ints, width: int, rest: int) -> list[Ints]:
    """A row in lines, the last one filled up."""
    return [np.pad(part, (0, min(width, len(row)) - len(part)), constant_values=rest) for part in _cut(row, width)]


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


def svg(batch: Drawn, sample: int = 0) -> str:
    """One sample as an SVG document."""
    return svg_row({f"context and {batch.shape[1]} targets on {shown(batch.grid)} tokens": (batch, sample)})


def svg_row(pictures: Mapping[str, tuple[Drawn, int]]) -> str:
    """Samples side by side, each under its title, the slots of a video in one picture."""
    parts, left, height = [], _GAP, 0
    for title, (batch, sample) in pictures.items():
        planes = scenes(batch, sample)
        columns = (len(planes) - 1) + sum(plane.shape[1] for plane in planes.values())
        rows = next(iter(planes.values())).shape[0]
        unit = min(_SIDE / rows, max(_SIDE / columns, 8 if len(batch.grid) != 2 else 0))
        drawn, x, top = "", 0, 28 if len(batch.grid) != 3 else 44
        for name, plane in planes.items():
            drawn += f'<text x="{left + x * unit:.1f}" y="36" font-size="10">{name}</text>' if name else ""
            drawn += (
                f'<g transform="translate({left + x * unit:.1f} {top}) scale({unit:.4f})" '
                f'shape-rendering="crispEdges">{_rectangles(plane)}</g>'
            )
            x += plane.shape[1] + 1
        parts.append(f'<text x="{left}" y="18">{escape(printable(title))}</text>{drawn}')
        width = max(columns * unit, 7 * len(title))
        left, height = left + round(width) + _GAP, max(height, round(rows * unit) + top - 28)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left}" height="{height + 40}" '
        f'viewBox="0 0 {left} {height + 40}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _rectangles(plane: Ints) -> str:
    """One rectangle for each run of equal tokens in a row."""
    found = []
    for y, row in enumerate(plane.tolist()):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end] == row[x]:
                end += 1
            found.append(f'<rect x="{x}" y="{y}" width="{end - x}" height="1" fill="{_colour(row[x])}"/>')
            x = end
    return "".join(found)


def _colour(code: int) -> str:
    special = {
        _BLANK: NOTHING_COLOUR,
        _CONTEXT: CONTEXT_COLOUR,
        _SEVERAL: "#007a78",
        _BOTH: "#ff00ff",
        _SPACE: "#ffffff",
    }
    return special[code] if code < 0 else COLOURS[code % len(COLOURS)]


# -- matplotlib -------------------------------------------------------------------------------------------------------


def plot(batch: Drawn, ax: Any = None, sample: int = 0) -> Any:
    """One sample on matplotlib axes: context blue, targets in colours with their numbers, several at once teal."""
    if ax is None:
        ax = new_figure((5, 5)).add_subplot()
    planes = scenes(batch, sample)
    draw_colours(ax, np.concatenate(_spaced(list(planes.values())), axis=1))
    if len(batch.grid) == 2 and batch.shape[1] > 1:
        write_numbers(ax, batch.arrays[1][sample].reshape(-1, *batch.grid))
    elif len(batch.grid) == 3:
        columns = batch.grid[-1]
        ax.set_xticks([i * (columns + 1) + (columns - 1) / 2 for i in range(len(planes))], planes, fontsize=8)
        ax.tick_params(bottom=False)
    ax.set_title(f"context and {batch.shape[1]} targets", fontsize=10)
    return ax


def figure(pictures: Mapping[str, tuple[Drawn, int]]) -> Any:
    """A figure of samples, each under its title: side by side, or one below the other where one is a wide strip."""
    shapes = [np.concatenate(list(scenes(*picture).values()), axis=1).shape for picture in pictures.values()]
    widest = max(columns / rows for rows, columns in shapes)
    if widest < 2:
        drawn = new_figure((3.2 * len(pictures) + 0.3, 3.9))
        axes = drawn.subplots(1, len(pictures), squeeze=False)
    else:
        width = min(2.2 * widest, 12)
        heights = [min(2.2, width * rows / columns) + 0.5 for rows, columns in shapes]
        drawn = new_figure((width, sum(heights) + 0.4))
        axes = drawn.subplots(len(pictures), 1, squeeze=False, height_ratios=heights)
    for ax, (title, (batch, sample)) in zip(axes.flat, pictures.items(), strict=True):
        plot(batch, ax, sample).set_title(printable(title), fontsize=10)
    write_legend(drawn, kinds(pictures.values()))
    return drawn


def write_legend(drawn: Any, found: Mapping[str, list[int]]) -> None:
    """What the colours mean, below the pictures; a row of colours for several targets."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.patches import Patch

    handles = [
        tuple(Patch(facecolor=_colour(code), edgecolor="#888888") for code in shown_as[: len(COLOURS)])
        for shown_as in found.values()
    ]
    wide = max(map(len, handles))
    drawn.legend(
        handles,
        list(found),
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        handlelength=2 + 0.5 * (wide - 1),
        loc="outside lower center",
        ncols=len(found),
        frameon=False,
        fontsize=9,
    )


def new_figure(size: Sequence[float]) -> Any:
    """A figure that pyplot does not know of, so that nothing must be closed."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ModuleNotFoundError as error:
        raise ConfigError("figures need matplotlib: pip install 'maskkit[plot]'") from error
    return Figure(figsize=(size[0], size[1]), layout=ConstrainedLayoutEngine(h_pad=0.08))


def _spaced(planes: list[Ints]) -> list[Ints]:
    """Planes with an empty column between them."""
    column = np.full((planes[0].shape[0], 1), _SPACE)
    return [part for plane in planes for part in (plane, column)][:-1]


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
        plot(only(batch, *parts), ax, sample).set_title(title)
    return saved(drawn, path)


def only(batch: Drawn, context: bool, targets: bool) -> Drawn:
    """The batch without its context, or without its targets."""
    seen, hidden = batch.arrays
    return evolve(batch, context=seen & context, targets=hidden & targets)


def from_arrays(context: Any, targets: Any, grid: Grid) -> Drawn:
    """A batch of masks that came from elsewhere."""
    context, targets = (fetched(part).astype(np.bool_, copy=False) for part in (context, targets))
    return Drawn(context=context, targets=targets, grid=grid, sample_keys=np.zeros(len(context), np.uint64))


def saved(drawn: Any, path: Any) -> Any:
    """The figure, written to a file if a path is given."""
    if path is not None:
        write_figure(path, drawn, dpi=120)
        log.info("saved mask visualization to %s", path)
    return drawn
