"""Neighborhood: a token of a grid sees the square of tokens nearest to it."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, Spans, at_most, hookimpl, odd, positive
from maskkit.arrays import maximum, minimum


@frozen(kw_only=True)
class Neighborhood(AttentionMask):
    """A token of a height x width grid may see the kernel_size x kernel_size tokens nearest to it.

    Tokens are numbered row by row: token t stands in row t // width and column t % width. At the borders the square
    moves inwards rather than being cut, so that every token sees kernel_size**2 others, itself included.

    Source: Hassani et al. 2023 (Neighborhood Attention Transformer), arXiv:2204.07143, section 3.1.

    Attributes:
        height: rows of the grid.
        width: columns of the grid.
        kernel_size: side of the square; at most height and width.
    """

    name = "neighborhood"
    rules = (at_most("kernel_size", "height", "width"),)
    samples = (
        dict(height=4, width=5, kernel_size=3),
        dict(height=7, width=5, kernel_size=5),
        dict(height=3, width=4, kernel_size=1),
    )
    height: int = field(validator=positive)
    width: int = field(validator=positive)
    kernel_size: int = field(validator=odd)

    @property
    def shape(self):
        return (self.height * self.width, self.height * self.width)

    def allows(self, q, k):
        top, left = self._corner(q)
        row, column = k // self.width, k % self.width
        size = self.kernel_size
        return (row >= top) & (row < top + size) & (column >= left) & (column < left + size)

    @property
    def intervals(self):
        return self.kernel_size

    def spans(self, q):
        top, left = self._corner(q)
        first = np.add.outer(np.arange(self.kernel_size) * self.width, top * self.width + left)
        return Spans.intervals(first, first + self.kernel_size)

    def reach(self, q):
        top, left = self._corner(q)
        first, last_row = top * self.width + left, (self.kernel_size - 1) * self.width
        return Spans.interval(first, first + last_row + self.kernel_size)

    def _corner(self, token):
        """The top row and the left column of the token's square."""
        return self._start(token // self.width, self.height), self._start(token % self.width, self.width)

    def _start(self, position, size):
        return minimum(maximum(position - self.kernel_size // 2, 0), size - self.kernel_size)


@hookimpl
def maskkit_masks():
    return [Neighborhood]
