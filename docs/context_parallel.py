"""Count what plans over 8 to 1,024 ranks cost, and draw it: docs/pictures/context_parallel.csv and .svg.

Run by `make docs-gallery`. The drawing is made of the figures in the CSV.
"""

import csv
import io
from collections.abc import Callable, Iterable
from math import log2, log10
from pathlib import Path
from typing import NamedTuple

import maskkit
from maskkit.kernels.scale import scales

TABLE = Path(__file__).parent / "pictures" / "context_parallel.csv"
PICTURE = TABLE.with_suffix(".svg")

LENGTH = 2**20
RANKS = tuple(2**power for power in range(3, 11))
DOCUMENTS = (2**18,) + 8 * (2**15,) + 64 * (2**12,) + 512 * (2**9,)
"""Lengths of packed documents: a quarter of all tokens is in those of each length."""

GREY = "#7d8590"
PLANS = {
    "by_area": "#3b82f6",
    "contiguous": "#0f9b6c",
    "head_tail": "#d97706",
    "pareto": GREY,
    "ring": "#8b5cf6",
    "all-gather": "#d6336c",
}
"""Their colours, seen on white and on black."""
COMPARED = ("ring", "all-gather")
"""Not plans of maskkit.shards: dashed."""

HEAD = ("mask", "ranks", "plan", "milliseconds", "bytes", "keys")

WIDTH, HEIGHT, LEFT, TOP = 150, 224, 56, 52  # of a panel; left of the first, and above it
PITCH, STEP = 234, 304  # from a panel to the next, and to the one below
GAP, LINE = 2.6, 13  # between lines that are equal, and between their names


class Row(NamedTuple):
    """A row of panels: what it says, the column of the table, the end values of its axis, its ticks, the scale."""

    title: str
    value: Callable[[dict[str, str]], float]
    ends: tuple[float, float]
    ticks: dict[float, str]
    scale: Callable[[float], float]


ROWS = (
    Row(
        "time of one layer, forward, of the slowest rank (modelled)",
        lambda line: float(line["milliseconds"]),
        (0.03, 1e4),
        {0.1: "0.1 ms", 1: "1 ms", 10: "10 ms", 100: "100 ms", 1e3: "1 s", 1e4: "10 s"},
        log10,
    ),
    Row(
        "keys and values that a rank receives for it, mean (counted)",
        lambda line: int(line["bytes"]) / int(line["ranks"]),
        (2**20, 2**34),
        {2**20: "1 MiB", 2**24: "16 MiB", 2**28: "256 MiB", 2**32: "4 GiB"},
        log2,
    ),
)


def masks() -> dict[str, maskkit.Mask]:
    """By the title of their panels."""
    causal = maskkit.create("causal", seq_len=LENGTH)
    return {
        "causal": causal,
        "causal window of 1,024": maskkit.create("sliding_window", seq_len=LENGTH, window_size=1024),
        "causal documents, packed": maskkit.create("document", lengths=DOCUMENTS) & causal,
    }


def lines(mask: str, ranks: Iterable[int] = RANKS) -> list[tuple]:
    """The lines of the table that belong to a mask."""
    found = [one for count in ranks for one in scales(masks()[mask], count)]
    return [(mask, one.ranks, one.plan, f"{one.seconds * 1e3:.6g}", one.bytes, one.keys) for one in found]


def table() -> str:
    """All of it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEAD, *(line for mask in masks() for line in lines(mask))])
    return text.getvalue()


def picture(text: str) -> str:
    """The figure of a table: a column of panels for each mask."""
    found = list(csv.DictReader(io.StringIO(text)))
    names = list(dict.fromkeys(line["mask"] for line in found))
    width, height = LEFT + PITCH * len(names) - 6, TOP + STEP * len(ROWS) - 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11.5" fill="{GREY}"><title>Modelled time and counted bytes of plans of '
        "context parallelism, by number of ranks, for three masks of 1,048,576 tokens</title>"
    ]
    for i, row in enumerate(ROWS):
        top = TOP + i * STEP
        parts.append(f'<text x="4" y="{top - 30}" font-size="13">{row.title}</text>')
        for j, name in enumerate(names):
            left = LEFT + j * PITCH
            parts.append(f'<text x="{left}" y="{top - 10}" font-weight="600">{name}</text>')
            values = {plan: [] for plan in PLANS}
            for line in found:
                if line["mask"] == name:
                    values[line["plan"].partition(":")[0]].append(row.value(line))
            parts.append(f'<g transform="translate({left} {top})">{panel(row, values, j == 0)}</g>')
    return "".join([*parts, "</svg>\n"])


def panel(row: Row, values: dict[str, list[float]], first: bool) -> str:
    """Axes, a line for each plan, and its name where it ends."""
    low, high = map(row.scale, row.ends)

    def down(value: float) -> float:
        return HEIGHT * (high - row.scale(value)) / (high - low)

    across = [WIDTH * i / (len(RANKS) - 1) for i in range(len(RANKS))]
    parts = [axes(across, {down(value): text for value, text in row.ticks.items()}, first)]
    places = strands([[down(value) for value in values[plan]] for plan in PLANS])
    labels = apart([line[-1] for line in places], LINE)
    for (plan, colour), line, label in zip(PLANS.items(), places, labels, strict=True):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, line, strict=True))
        dashes = ' stroke-dasharray="5 2.5"' if plan in COMPARED else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        leader = f"M{WIDTH + 2} {line[-1]:.1f}L{WIDTH + 14} {label:.1f}"
        parts.append(f'<path d="{leader}" stroke="{colour}" stroke-opacity=".6"/>')
        parts.append(f'<text x="{WIDTH + 17}" y="{label + 4:.1f}" fill="{colour}">{plan}</text>')
    return "".join(parts)


def axes(across: list[float], ticks: dict[float, str], first: bool) -> str:
    """Ranks along the foot, a faint line at each tick; the leftmost panel has the texts of these."""
    parts = [f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="{GREY}"/>']
    for y, text in ticks.items():
        parts.append(f'<path d="M0 {y:.1f}H{WIDTH}" stroke="{GREY}" stroke-opacity=".25"/>')
        if first:
            parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    texts = {RANKS.index(ranks): f"{ranks:,}" for ranks in (8, 64, 1024)} | {5: "ranks"}
    for i, x in enumerate(across):
        parts.append(f'<path d="M{x:.1f} {HEIGHT}v4" stroke="{GREY}"/>')
        if i in texts:
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT + 17}" text-anchor="middle">{texts[i]}</text>')
    return "".join(parts)


def strands(values: list[list[float]]) -> list[list[float]]:
    """Lines, side by side where they are equal: in the order in which they came, so that none crosses another there."""
    order = sorted(range(len(values)), key=lambda i: [round(one, 6) for one in values[i]])
    placed = []
    for column in zip(*values, strict=True):
        order.sort(key=lambda i: round(column[i], 6))
        moved = dict(zip(order, apart([column[i] for i in order], GAP), strict=True))
        placed.append([moved[i] for i in range(len(values))])
    return [list(line) for line in zip(*placed, strict=True)]


def apart(places: list[float], gap: float) -> list[float]:
    """Places moved as little as keeps them so far from each other, in their order; equal ones in that given."""
    order = sorted(range(len(places)), key=lambda i: round(places[i], 6))
    groups: list[list[float]] = []  # sum of what their first would be alone, and number
    for n, i in enumerate(order):
        groups.append([places[i] - n * gap, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] >= groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    starts = [total / count for total, count in groups for _ in range(count)]
    moved = [start + n * gap for n, start in enumerate(starts)]
    return [moved[order.index(i)] for i in range(len(places))]


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    PICTURE.write_text(picture(TABLE.read_text(encoding="utf-8")), encoding="utf-8")
