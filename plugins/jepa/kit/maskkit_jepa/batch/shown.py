"""What `maskkit render` and `maskkit stats` show of a strategy: the first samples, and figures over many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maskkit.outputs import printable
from maskkit_jepa.batch.batch import batches
from maskkit_jepa.batch.pictures import TEXT_COLOURS, svg_row, text_legend, text_row
from maskkit_jepa.randomness import Array


class StrategyPicture:
    """Context and targets of a few samples on their grid.

    Args:
        shown: a `MaskBatch`, or `MaskGroups`.
        notes: lines for the user.
        samples: how many are drawn; None for one in text and SVG, and in a figure for what it shows by itself.
    """

    colours = TEXT_COLOURS

    def __init__(self, shown: Any, notes: Sequence[str], samples: int | None = None) -> None:
        self._shown, self.notes, self._samples = shown, notes, samples

    def text(self, width: int) -> str:
        """The samples side by side as far as they fit, and what their characters mean."""
        groups, samples = batches(self._shown), range(self._samples or 1)
        drawn = [
            line
            for name, batch in groups.items()
            for line in (printable(name), text_row(batch, width, samples))
            if line
        ]
        legend = text_legend((batch, sample) for batch in groups.values() for sample in samples)
        return "\n".join([*drawn, legend])

    def svg(self) -> str:
        """The samples side by side."""
        if self._samples is None:
            return str(self._shown.svg())
        groups, samples = batches(self._shown), range(self._samples)
        return svg_row({f"{name} sample {i}".strip(): (batch, i) for name, batch in groups.items() for i in samples})

    def figure(self) -> Any:
        """The samples side by side."""
        return self._shown.figure() if self._samples is None else self._shown.figure(self._samples)

    def arrays(self) -> Mapping[str, Array]:
        """Context, targets and what else belongs to the samples; of groups, under the names of both."""
        groups = batches(self._shown.numpy())
        return {f"{name}_{part}".strip("_"): array for name, batch in groups.items() for part, array in batch.items()}


class StrategyMeasures:
    """Coverage and overlap over many samples, a column for each group of masks.

    Args:
        config: of the strategy.
        shown: a `MaskBatch`, or `MaskGroups`.
        notes: lines for the user.
    """

    def __init__(self, config: Any, shown: Any, notes: Sequence[str]) -> None:
        self._config, self.notes = config, notes
        self._samples = next(iter(batches(shown).values())).shape[0]
        self._found = shown.stats()

    def to_dict(self) -> Any:
        """Shares by name; of groups, under their names."""
        return self._found

    def text(self, width: int) -> str:
        """A table in per cent."""
        from rich.console import Console
        from rich.table import Table

        groups = self._found if isinstance(next(iter(self._found.values())), dict) else {"": self._found}
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        table.add_column(f"of {self._samples:,} samples", no_wrap=True)
        for group in groups:
            table.add_column(group, justify="right", no_wrap=True)
        for name in next(iter(groups.values())):
            table.add_row(name.replace("_", " "), *(f"{figures[name]:.1%}" for figures in groups.values()))
        console = Console(width=width)
        with console.capture() as printed:
            console.print(table)
        return f"{self._config!r}\n{printed.get().rstrip()}"
