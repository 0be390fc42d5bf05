"""Axial: a token of a grid sees its row and its column."""

import math

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, Spans, hookimpl, positive


@frozen(kw_only=True)
class Axial(AttentionMask):
    """A token of a height x width grid may see the tokens of its row and of its column.

    Tokens are numbered row by row: token t stands in row t // width and column t % width. The two layers of the paper,
    one along each axis, in one mask.

    Source: Ho et al. 2019 (Axial Attention in Multidimensional Transformers), arXiv:1912.12180, section 3.1.

    Attributes:
        height: rows of the grid.
        width: columns of the grid.
    """

    name = "axial"
    samples = (
        dict(height=4, width=5),
        dict(height=1, width=7),
        dict(height=6, width=1),
        dict(height=40, width=2),
    )
    height: int = field(validator=positive)
    width: int = field(validator=positive)

    @property
    def shape(self):
        return (self.height * self.width, self.height * self.width)

    def allows(self, q, k):
        return (q // self.width == k // self.width) | (q % self.width == k % self.width)

    @property
    def intervals(self):
        return self.height

    def spans(self, q):
        row, column = np.divmod(q.ravel(), self.width)
        lo = np.add.outer(np.arange(self.height) * self.width, column)
        hi = lo + 1
        own = row, np.arange(len(row))  # so far one token in each row; of its own row it sees all
        lo[own], hi[own] = row * self.width, (row + 1) * self.width
        return Spans.intervals(*(ends.reshape(-1, *q.shape) for ends in (lo, hi)))

    @classmethod
    def recognize(cls, spans):
        n, row = spans.limit, spans.row((*(0 for _ in spans.shape[1:]), 0))
        both = sum(hi - lo for lo, hi in row) + 1  # height + width
        root = math.isqrt(max(both**2 - 4 * n, 0))
        for width in ((both - root) // 2, (both + root) // 2):
            if width > 0 and n % width == 0 and row[0] == (0, min(width + 1, n)):
                return dict(height=n // width, width=width)
        return None


@hookimpl
def maskkit_masks():
    return [Axial]
