"""What a mask amounts to: how much it allows, and what each form of it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import asdict, frozen
from maskkit.limits import human_bytes
from maskkit.masks.blocks import block_map
from maskkit.masks.pattern import Pattern
from maskkit.masks.rows import iterate_rows, plane_of, planes
from maskkit.masks.spans import Spans


@frozen(kw_only=True)
class Stats:
    """Figures of a mask.

    Attributes:
        allowed: number of allowed positions.
        blocked_rows: rows in which everything is blocked.
        intervals: the most intervals in one row; None where the mask has no spans.
        block_size: side of the blocks counted, in tokens; None for masks that are not for attention.
        blocks: how many blocks are "empty", "partial" and "full".
        bytes: size of each form: dense bool, float32 bias, spans, block map.
        flops_per_channel: floating-point operations of masked attention per channel of every head, forward: 4 for each
            allowed pair (a multiplication and an addition, in QK^T and in PV).
        flops_per_channel_in_blocks: the same when every block that is not empty is computed whole.
    """

    shape: tuple[int, ...]
    allowed: int
    total: int
    density: float
    blocked_rows: int
    intervals: int | None
    bytes: dict[str, int]
    block_size: int | None = None
    blocks: dict[str, int] | None = None
    flops_per_channel: int | None = None
    flops_per_channel_in_blocks: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self) | {"shape": list(self.shape)}

    def lines(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        lines = [
            ("shape", " x ".join(map(str, self.shape))),
            ("allowed", f"{self.allowed:,} of {self.total:,} ({self.density:.4%})"),
            ("rows fully blocked", f"{self.blocked_rows:,}"),
            ("intervals per row", "no interval structure" if self.intervals is None else f"at most {self.intervals}"),
        ]
        if self.blocks is not None:
            counts = ", ".join(f"{count:,} {kind}" for kind, count in self.blocks.items())
            lines += [
                (f"blocks of {self.block_size}", counts),
                ("attention FLOPs", f"{self.flops_per_channel:,} per channel, forward"),
                ("  in whole blocks", f"{self.flops_per_channel_in_blocks:,}"),
            ]
        return lines + [(f"bytes as {form}", human_bytes(size)) for form, size in self.bytes.items()]


class _Counter:
    """Counts what chunks of rows allow, those of equal planes once for each."""

    def __init__(self, pattern: Pattern) -> None:
        self.allowed = self.blocked_rows = self.intervals = 0
        self.has_spans = True
        times = np.bincount(plane_of(pattern).ravel())
        self.times = dict(zip(planes(pattern), times.tolist(), strict=True))

    def visit(self, plane: tuple[int, ...], rows: Any) -> None:
        """Add some rows, given as spans or as booleans."""
        spans = isinstance(rows, Spans)
        counts = rows.counts() if spans else rows.sum(axis=-1)
        self.allowed += self.times[plane] * (rows.total() if spans else int(counts.sum()))
        self.blocked_rows += self.times[plane] * int((counts == 0).sum())
        self.has_spans &= spans
        self.intervals = max(self.intervals, len(rows) if spans else 0)


def measure(pattern: Pattern, block_size: int | None) -> Stats:
    """Count, in one pass over the rows, from spans where it has them; blocks too, where their size is given."""
    counter = _Counter(pattern)
    for_attention: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    if block_size is not None:
        blocks = block_map(pattern, block_size, counter.visit)
        sizes["block map"] = blocks.nbytes
        for_attention = dict(
            block_size=block_size,
            blocks=blocks.counts(),
            flops_per_channel=4 * counter.allowed,
            flops_per_channel_in_blocks=4 * blocks.touched.total() * block_size**2,
        )
    else:
        for plane, _, rows in iterate_rows(pattern):
            counter.visit(plane, rows)
    total = math.prod(pattern.shape)
    if counter.has_spans:
        ends = 2 * counter.intervals * (total // pattern.shape[-1])
        sizes["spans"] = ends * (4 if pattern.shape[-1] < 2**31 - 1 else 8)
    return Stats(
        shape=pattern.shape,
        allowed=counter.allowed,
        total=total,
        density=counter.allowed / total,
        blocked_rows=counter.blocked_rows,
        intervals=counter.intervals if counter.has_spans else None,
        bytes={"dense bool": total, "float32 bias": 4 * total, **sizes},
        **for_attention,
    )


class MaskMeasures:
    """The figures of one or several masks, as `maskkit stats` prints them."""

    notes: Sequence[str] = ()

    def __init__(self, masks: Sequence[Any], block_size: int | None) -> None:
        options = {} if block_size is None else {"block_size": block_size}
        self._found: list[tuple[Pattern, Stats]] = [(mask, mask.stats(**options)) for mask in masks]

    def text(self, width: int) -> str:
        """Under each mask its figures, a line each."""
        lines = []
        for pattern, stats in self._found:
            lines += [repr(pattern), *(f"  {name:<22} {value}" for name, value in stats.lines())]
        return "\n".join(lines)

    def to_dict(self) -> Any:
        """One report, or a list of them."""
        reports = [{"mask": repr(pattern), **stats.to_dict()} for pattern, stats in self._found]
        return reports if len(reports) > 1 else reports[0]
