"""Pictures with matplotlib, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskkit.errors import ConfigError
from maskkit.masks.draw.shares import FEW, Shares, shares
from maskkit.masks.draw.titles import name_of, wrapped
from maskkit.masks.pattern import Pattern

_MOST_CELLS = 1024
_BELOW = 0.42
"""Inches under the axes, where their numbers and names end."""
COLOURS = ("#eef1f6", "#1b3a6b")
"""Of what is not shown, and of what is."""


def plot(mask: Pattern, ax: Any = None, *, blocked: bool = False, title: str | None = None, cmap: Any = None) -> Any:
    """Draw a mask on matplotlib axes, and return them; of a batch only the first is drawn (use `figure` for more)."""
    if ax is None:
        ax = _pyplot().figure(figsize=(5, 5), layout="constrained").add_subplot()
    plane = shares(mask, _MOST_CELLS, _MOST_CELLS)[0]
    inches = ax.get_window_extent().width / ax.figure.dpi
    return _draw(plane, ax, mask, blocked, wrapped(name_of(mask) if title is None else title, _columns(inches)), cmap)


def figure(
    masks: Sequence[Pattern],
    *,
    blocked: bool = False,
    title: str | None = None,
    cmap: Any = None,
    size: Any = None,
    window: bool = False,
    most: int = FEW,
) -> Any:
    """A figure that draws masks side by side, of a batch the first `most`.

    Pyplot does not know it, so there is nothing to close; with `window` it does, and `pyplot.show()` shows it.
    """
    pyplot = _pyplot()
    from matplotlib.figure import Figure

    planes = [(mask, plane) for mask in masks for plane in shares(mask, _MOST_CELLS, _MOST_CELLS)[:most]]
    many, width = len(planes), size[0] if size else 4.6 * len(planes) + 0.4
    above = title if title is not None else name_of(masks[0])
    over_all = wrapped(above, _columns(0.8 * width)) if many > 1 and (title is not None or len(masks) == 1) else []
    own = [
        above if many == 1 else plane.place if plane.place and len(masks) == 1 else name_of(mask)
        for mask, plane in planes
    ]
    lines = [wrapped(text, _columns(width / many)) for text in own]
    more = max(map(len, lines)) - 1
    height = 5.6 + (0.21 * more + 0.3 if more else 0) + (0.21 * len(over_all) + 0.3 if over_all else 0)
    drawn = (pyplot.figure if window else Figure)(figsize=size or (width, height), layout="constrained")
    axes = drawn.subplots(1, many, squeeze=False)[0]
    for ax, (mask, plane), text in zip(axes, planes, lines, strict=True):
        _draw(plane, ax, mask, blocked, text, cmap)
    if over_all:
        drawn.suptitle("\n".join(over_all))
    return drawn


def _columns(inches: float) -> int:
    """Characters of a title that so many inches hold."""
    return max(16, int(10 * inches))


def _draw(plane: Shares, ax: Any, mask: Pattern, blocked: bool, title: list[str], cmap: Any) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    height, width = plane.shape
    ax.imshow(
        1 - plane.values if blocked else plane.values,
        cmap=cmap or LinearSegmentedColormap.from_list("maskkit", COLOURS),
        vmin=0,
        vmax=1,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest" if plane.exact or max(plane.values.shape) < _MOST_CELLS // 2 else "antialiased",
        aspect="equal" if height > 1 else "auto",
    )
    ax.set_title("\n".join(title), fontsize=10)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if height > 1:
        ax.yaxis.get_major_locator().set_params(integer=True)
    else:
        ax.set_yticks([])
    down, right = ("", *mask.axes)[-2:]
    units = "" if mask.category == "segmentation" else " (tokens)"
    ax.set_xlabel(f"{right}{units}")
    ax.set_ylabel(f"{down}{units}" if down else "")
    _legend(ax, plane, blocked)
    return ax


def _legend(ax: Any, plane: Shares, blocked: bool) -> None:
    """What the colours mean, under the axes; between them lie the shares of cells that hold several positions."""
    from matplotlib.patches import Patch
    from matplotlib.transforms import ScaledTranslation

    below = ax.transAxes + ScaledTranslation(0, -_BELOW, ax.figure.dpi_scale_trans)
    words = ("blocked", "allowed") if not blocked else ("allowed", "blocked")
    handles = [
        Patch(facecolor=colour, edgecolor="#888888", label=word) for colour, word in zip(COLOURS, words, strict=True)
    ]
    ax.legend(
        handles=handles[::-1],
        title=plane.scale() or None,
        title_fontsize=8,
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        ncols=2,
        frameon=False,
    )


def shows_windows() -> bool:
    """Whether matplotlib's backend can show a figure; agg and its like only write files."""
    backend = _pyplot().get_backend().lower()
    from matplotlib.backends import BackendFilter, backend_registry

    return backend not in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise ConfigError("figures need matplotlib: pip install 'maskkit[plot]'") from error
    return plt
