"""What a mask amounts to: how much it allows, and what each form of it costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import asdict, frozen
from maskkit.evaluate import iterate_rows
from maskkit.limits import human_bytes
from maskkit.spans import Spans

if TYPE_CHECKING:
    from maskkit.mask import Mask


@frozen(kw_only=True)
class Stats:
    """Figures of a mask.

    Attributes:
        shape: of the dense array.
        allowed: number of allowed positions.
        total: number of all positions.
        density: allowed / total.
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


def measure(mask: Mask, block_size: int) -> Stats:
    """Count, from spans where the mask has them."""
    from maskkit.mask import AttentionMask

    allowed, blocked_rows, intervals, has_spans = 0, 0, 0, True
    for _, _, rows in iterate_rows(mask):
        counts = rows.counts() if isinstance(rows, Spans) else rows.sum(axis=-1)
        allowed += int(counts.sum())
        blocked_rows += int((counts == 0).sum())
        has_spans &= isinstance(rows, Spans)
        intervals = max(intervals, len(rows)) if isinstance(rows, Spans) else 0
    total = math.prod(mask.shape)
    row_total = total // mask.shape[-1]
    sizes = {"dense bool": total, "float32 bias": 4 * total}
    if has_spans:
        sizes["spans"] = row_total * intervals * 2 * (4 if mask.shape[-1] < 2**31 - 1 else 8)
    common = dict(
        shape=mask.shape,
        allowed=allowed,
        total=total,
        density=allowed / total,
        blocked_rows=blocked_rows,
        intervals=intervals if has_spans else None,
        bytes=sizes,
    )
    if not isinstance(mask, AttentionMask):
        return Stats(**common)  # type: ignore[arg-type]
    blocks = mask.blocks(block_size)
    sizes["block map"] = blocks.nbytes
    return Stats(
        **common,  # type: ignore[arg-type]
        block_size=block_size,
        blocks=blocks.counts(),
        flops_per_channel=4 * allowed,
        flops_per_channel_in_blocks=4 * int(blocks.touched.counts().sum()) * block_size**2,
    )
