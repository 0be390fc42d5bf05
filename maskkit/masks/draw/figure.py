"""Pictures with matplotlib, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskkit.errors import ConfigError
from maskkit.masks.draw.shares import FEW, Shares, shares
from maskkit.masks.pattern import Pattern

_MOST_CELLS = 1024
COLOURS = ("#eef1f6", "#1b3a6b")
"""Of what is not shown, and of what is."""


def plot(mask: Pattern, ax: Any = None, *, blocked: bool = False, title: str | None = None, cmap: Any = None) -> Any:
    """Draw a mask on matplotlib axes, and return them; of a batch only the first is drawn (use `figure` for more)."""
    if ax is None:
        ax = _pyplot().figure(figsize=(5, 5), layout="constrained").add_subplot()
    plane = shares(mask, _MOST_CELLS, _MOST_CELLS)[0]
    return _draw(plane, ax, mask, blocked, title if title is not None else _short(repr(mask)), cmap)


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
    side = (4.6 * len(planes) + 0.4, 4.9 if len(planes) == 1 else 5.5)
    drawn = (pyplot.figure if window else Figure)(figsize=size or side, layout="constrained")
    for ax, (mask, plane) in zip(drawn.subplots(1, len(planes), squeeze=False)[0], planes, strict=True):
        own = plane.place if plane.place and len(masks) == 1 < len(planes) else _short(repr(mask))
        _draw(plane, ax, mask, blocked, own if title is None or len(planes) > 1 else title, cmap)
    if len(planes) > 1 and (title is not None or len(masks) == 1):
        drawn.suptitle(title if title is not None else _short(repr(masks[0]), 48 * len(planes)))
    return drawn


def _draw(plane: Shares, ax: Any, mask: Pattern, blocked: bool, title: str, cmap: Any) -> Any:
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
    ax.set_title(title, fontsize=10)
    down, right = ("", *mask.axes)[-2:]
    ax.set_xlabel(f"{right} (dark: {'blocked' if blocked else 'allowed'})")
    ax.set_ylabel(down)
    if plane.scale():
        ax.text(0, -0.13, plane.scale(), transform=ax.transAxes, fontsize=8, color="#666")
    return ax


def shows_windows() -> bool:
    """Whether matplotlib's backend can show a figure; agg and its like only write files."""
    backend = _pyplot().get_backend().lower()
    from matplotlib.backends import BackendFilter, backend_registry

    return backend not in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)


def _short(text: str, most: int = 48) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise ConfigError("figures need matplotlib: pip install 'maskkit[plot]'") from error
    return plt
