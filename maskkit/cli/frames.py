"""A picture that moves: a strategy over the steps of a training, as GIF or animated PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskkit.errors import ConfigError
from maskkit.outputs import written

if TYPE_CHECKING:
    from maskkit.registry.hookspecs import Picture

SUFFIXES = (".gif", ".apng")
_MOST = 500
_MILLISECONDS = 200
"""That each step is shown."""


def parse(text: str) -> range:
    """The steps of `FIRST:END:EVERY`, as a slice of Python: END is not among them.

    Raises:
        ConfigError: it is something else, there are no steps, or more than 500.
    """
    try:
        first, end, every = map(int, text.split(":"))
        steps = range(first, end, every)
    except ValueError:
        raise ConfigError(f"--steps must be FIRST:END:EVERY, such as 0:1000:50, got {text!r}") from None
    if not 0 < len(steps) <= _MOST or min(steps) < 0:
        raise ConfigError(f"--steps must give 1 .. {_MOST} steps from 0 up, and {text!r} gives {len(steps):,}")
    return steps


def write(pictures: Sequence[Picture], steps: range, output: Path) -> None:
    """One frame for each step, of equal size, with the step over it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image  # matplotlib brings it

    frames = []
    for step, picture in zip(steps, pictures, strict=True):
        drawn = picture.figure()
        drawn.suptitle(f"step {step:,}", fontsize=11)
        canvas = FigureCanvasAgg(drawn)
        canvas.draw()
        frames.append(Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB"))
    first, *others = frames
    form = "GIF" if output.suffix.lower() == ".gif" else "PNG"
    with written(output) as whole:
        first.save(whole, format=form, save_all=True, append_images=others, duration=_MILLISECONDS, loop=0)
