"""Which blocks of a mask are computed, and whether its pairs are looked up in intervals or in booleans."""

import math
from typing import Any

import numpy as np
from attrs import frozen
from maskkit import Problem

BLOCK = 128
"""Queries and keys of a block: FlexAttention's own."""
_INTERVALS = 8
"""Up to so many intervals per row `to_flex` writes as comparisons."""
_CELLS = 2**24
"""Up to so many cells a mask without spans, and that does not repeat, is searched for its blocks."""


@frozen
class Blocks:
    """What FlexAttention computes under a mask, over all samples and heads.

    Attributes:
        full, partial: blocks of BLOCK x BLOCK.
        booleans: whether pairs of partial blocks are looked up in an array.
        nbytes: of the tables, and of that array.
    """

    full: int
    partial: int
    booleans: bool
    nbytes: int

    @property
    def pairs(self) -> int:
        """Of queries and keys."""
        return (self.full + self.partial) * BLOCK**2


def blocks_of(problem: Problem) -> Blocks | None:
    """None where looking for the blocks would take as long as attention."""
    mask: Any = problem.mask
    if mask is None:
        each = math.ceil(problem.queries / BLOCK) * math.ceil(problem.keys / BLOCK)
        return Blocks(problem.batch * problem.heads * each, 0, False, 0)
    planes = problem.planes()
    if planes is None and not mask.period and problem.queries * problem.keys > _CELLS:
        return None
    blocks = mask.blocks(BLOCK)
    leading = math.prod(blocks.shape[:-2])
    each, counts = problem.batch * problem.heads // leading, blocks.counts()
    intervals = max(map(len, planes[0])) if planes is not None and _has_spans(mask) else _INTERVALS + 1
    # Numbers and indices of partial and of full blocks, by rows and by columns, in int32; then what pairs look at.
    tables = 16 * math.prod(blocks.shape) + 8 * leading * sum(blocks.shape[-2:])
    pairs = math.prod(mask.shape) if intervals > _INTERVALS else 8 * leading * mask.shape[-2] * intervals
    return Blocks(counts["full"] * each, counts["partial"] * each, intervals > _INTERVALS, tables + pairs)


def _has_spans(mask: Any) -> bool:
    """Of its own, as the first row tells."""
    return mask.spans(*(np.zeros(1, np.int64) for _ in mask.shape[:-1])) is not None
