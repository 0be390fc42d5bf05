"""What an audit found: an entry for each attention that ran, printed on one page, as HTML, JSON or a figure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask
from maskkit_audit._calls import Call
from maskkit_audit._leaks import Leak
from maskkit_audit._recognize import Recognition

_WIDTH, _TALL = 100, 24
"""Of the page, and of a picture on it."""
_MOST_NAMES = 4
_LONGEST = 160


@frozen(kw_only=True)
class Entry:
    """One attention that ran.

    Attributes:
        name: the module, as its model names it.
        via: the function that computed it.
        mask: what it allowed, without axes along which all is equal.
        batch, heads: of how many samples and heads.
        recognized: the mask's name.
        leaks: where it departs from what was wanted or is known.
        notes: what else is worth saying.
    """

    name: str
    via: str
    mask: AttentionMask = field(repr=False)
    batch: int
    heads: int
    recognized: Recognition
    leaks: tuple[Leak, ...]
    notes: tuple[str, ...]
    call: Call = field(repr=False, eq=False)

    @property
    def expression(self) -> str:
        """What the mask was recognised as."""
        return str(self.recognized)

    @property
    def axes(self) -> tuple[str, ...]:
        """Of the mask."""
        return self.mask.axes

    @property
    def density(self) -> float:
        """The share of pairs that are allowed."""
        return float(self.call.allowed.mean())

    @property
    def empty_rows(self) -> int:
        """Rows in which nothing is allowed, of one sample and head of each kind."""
        return int((~self.call.allowed.any(axis=-1)).sum())

    def alike(self, other: Entry) -> bool:
        """Whether all but the name is equal."""
        same = (self.via, self.leaks, self.notes, self.expression, self.mask.shape)
        return same == (other.via, other.leaks, other.notes, other.expression, other.mask.shape) and bool(
            np.array_equal(self.call.allowed, other.call.allowed)
        )

    def figures(self) -> str:
        """Sizes, density and empty rows, in a line."""
        queries, keys = self.mask.shape[-2:]
        varies = list(self.axes[:-2])
        differs = f"differs by {' and '.join(varies)}" if varies else "the same for all"
        empty = f", {self.empty_rows:,} empty row{'s' * (self.empty_rows > 1)}" if self.empty_rows else ""
        return (
            f"batch {self.batch:,}, heads {self.heads:,} ({differs}), {queries:,} x {keys:,}, "
            f"{self.density:.1%} allowed{empty}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "via": self.via,
            "expression": self.recognized.expression,
            "exact": self.recognized.exact,
            "departs_in": self.recognized.rows.tolist(),
            "axes": list(self.axes),
            "shape": list(self.mask.shape),
            "batch": self.batch,
            "heads": self.heads,
            "density": self.density,
            "empty_rows": self.empty_rows,
            "leaks": [{"kind": leak.kind, "text": leak.text, "pairs": leak.pairs} for leak in self.leaks],
            "notes": list(self.notes),
        }


class Report:
    """All attentions of a model, in the order in which they ran.

    Attributes:
        title: of the model.
        entries: one for each attention; a report is a sequence of them.
        notes: what is worth saying of the whole.
    """

    def __init__(self, title: str, entries: list[Entry], notes: tuple[str, ...] = ()) -> None:
        self.title, self.entries, self.notes = title, tuple(entries), notes

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Entry:
        return self.entries[index]

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """Those of all attentions."""
        return tuple(leak for entry in self for leak in entry.leaks)

    @property
    def kinds(self) -> set[str]:
        """The kinds of leaks that were found."""
        return {leak.kind for leak in self.leaks}

    def groups(self) -> list[list[Entry]]:
        """Attentions that are alike, together."""
        found: list[list[Entry]] = []
        for entry in self:
            group = next((group for group in found if group[0].alike(entry)), None)
            if group is None:
                found.append([entry])
            else:
                group.append(entry)
        return found

    def verdict(self) -> str:
        """In a line."""
        leaking = sum(bool(entry.leaks) for entry in self)
        masks = len(self.groups())
        what = f"{len(self)} attention{'s' * (len(self) > 1)} of {masks} kind{'s' * (masks > 1)}"
        if leaking:
            return f"{what}, {leaking} with leaks: {', '.join(sorted(self.kinds))}"
        return f"{what}, no leak found"

    def text(self, width: int | None = None) -> str:
        """The page for a terminal of so many columns."""
        width = min(width or shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH)
        lines = [f"{self.title}: {self.verdict()}"]
        for group in self.groups():
            first = group[0]
            lines += ["", *named(group), f"  {first.via}", f"  {shortened(first.expression, 2 * width)}"]
            lines += [f"  {first.figures()}"]
            lines += [f"  {line}" for line in first.mask.text(width=min(width, 64) - 2, height=_TALL).split("\n")]
            lines += [f"  LEAK {leak}" for leak in first.leaks]
            lines += [f"  note: {note}" for note in first.notes]
        return "\n".join([*lines, *(["", *(f"note: {note}" for note in self.notes)] if self.notes else [])])

    __str__ = text

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "model": self.title,
            "verdict": self.verdict(),
            "attentions": [entry.to_dict() for entry in self],
            "notes": list(self.notes),
        }

    def html(self) -> str:
        """The page as one file without a network."""
        from maskkit_audit._pages import html

        return html(self)

    def figure(self) -> Any:
        """The page as a matplotlib figure."""
        from maskkit_audit._pages import figure

        return figure(self)

    _repr_html_ = html


def named(group: list[Entry]) -> list[str]:
    """The names of attentions that are alike; of many, those at both ends."""
    names = [f"{entry.name or 'the model'}" for entry in group]
    if len(names) > _MOST_NAMES:
        names = [names[0], f"... {len(names) - 2} more ...", names[-1]]
    return names


def shortened(text: str, most: int = _LONGEST) -> str:
    """At most so many letters."""
    return text if len(text) <= most else f"{text[: most - 4]} ..."
