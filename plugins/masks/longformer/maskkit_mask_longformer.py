"""Longformer: a query sees the tokens near it, and global tokens see and are seen by all."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, Spans, below, hookimpl, positive
from maskkit.validators import Rule, is_integer

_positions = Rule(
    "must be a list of positions from 0",
    lambda value: isinstance(value, tuple) and all(is_integer(position) and position >= 0 for position in value),
)


def _as_positions(value):
    """Sorted, each once, so that the same tokens make the same mask; what is no list of integers stays as it is."""
    if isinstance(value, (list, tuple, range)) and all(map(is_integer, value)):
        return tuple(sorted({int(position) for position in value}))
    return value


@frozen(kw_only=True)
class Longformer(AttentionMask):
    """Query q may see key k if |q - k| <= window_size // 2, or if one of the two is a global token.

    Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150, section 3.1: "Sliding Window", where half of the window
    lies on each side, and "Global Attention", which is symmetric.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        window_size: width of the window in tokens; an even width counts as the odd one above it.
        global_tokens: positions of the global tokens, in any order; in Python also a range.
    """

    name = "longformer"
    rules = (below("global_tokens", "seq_len"),)
    samples = (
        dict(seq_len=16, window_size=5, global_tokens=[0, 10]),
        dict(seq_len=12, window_size=2),
        dict(seq_len=9, window_size=3, global_tokens=[8, 3, 4, 5]),
        dict(seq_len=7, window_size=30, global_tokens=[]),
    )
    seq_len: int = field(validator=positive)
    window_size: int = field(validator=positive)
    global_tokens: tuple[int, ...] = field(default=(0,), converter=_as_positions, validator=_positions)

    def allows(self, q, k):
        return (abs(q - k) <= self.window_size // 2) | self._is_global(q) | self._is_global(k)

    @property
    def intervals(self):
        return len(self._runs()) + 1

    def spans(self, q):
        runs = self._runs()
        reach, sees_all = self.window_size // 2, self._is_global(q)
        first, behind = np.where(sees_all, 0, q - reach), np.where(sees_all, self.seq_len, q + reach + 1)
        return Spans.union([Spans.interval(first, behind), *(Spans.interval(*run) for run in runs)])

    def _is_global(self, token):
        found = token < 0
        for first, behind in self._runs():
            found = found | (token >= first) & (token < behind)
        return found

    def _runs(self):
        """Neighbouring global tokens together, as intervals `[first, behind)`."""
        positions = set(self.global_tokens)
        firsts = [position for position in self.global_tokens if position - 1 not in positions]
        lasts = [position for position in self.global_tokens if position + 1 not in positions]
        return [(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]


@hookimpl
def maskkit_masks():
    return [Longformer]
