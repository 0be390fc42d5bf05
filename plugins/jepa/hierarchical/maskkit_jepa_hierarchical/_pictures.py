"""Pictures of the levels of a hierarchy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maskkit_jepa.batch.pictures import from_arrays, kinds, new_figure, only, plot, saved, write_legend
from maskkit_jepa.grid import Grid


def level_panels(masks: Mapping[str, Any], grid: Grid, sample: int, size: Sequence[float], path: Any = None) -> Any:
    """One sample, a column for each level: the contexts above, the targets below."""
    drawn = new_figure(size)
    rows = drawn.subplots(2, len(masks), squeeze=False)
    for column, (name, level) in enumerate(masks.items()):
        batch = from_arrays(level["context"], level["targets"], grid)
        plot(only(batch, True, False), rows[0, column], sample).set_title(f"{name}: context")
        plot(only(batch, False, True), rows[1, column], sample).set_title(f"{name}: targets")
    return saved(drawn, path)


def level_overlays(masks: Mapping[str, Any], grid: Grid, sample: int, size: Sequence[float], path: Any = None) -> Any:
    """One sample, a panel for each level: context and targets, and a legend."""
    drawn = new_figure(size)
    drawn.suptitle("context and targets of each level")
    batches = {name: from_arrays(level["context"], level["targets"], grid) for name, level in masks.items()}
    for ax, (name, batch) in zip(drawn.subplots(1, len(masks), squeeze=False)[0], batches.items(), strict=True):
        plot(batch, ax, sample).set_title(name)
    write_legend(drawn, kinds((batch, sample) for batch in batches.values()))
    return saved(drawn, path)
