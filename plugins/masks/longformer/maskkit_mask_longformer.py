"""Longformer: a query sees the tokens near it, and global tokens see and are seen by all."""

from functools import cached_property
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from maskkit import AttentionMask, Spans, array, as_array, by_content, hookimpl, host, odd, positive, take
from maskkit.arrays import is_array
from maskkit.validators import FieldRule, Rule, is_integer


def _neighbours(width):
    """The widths that are possible beside an even one."""
    if width <= 0:
        return ""
    return (
        f"; the query stands in the middle: {width - 1} or {width + 1}, where half of {width} lies on each side of it"
    )


def _as_positions(value):
    """Positions sorted, each once, so that the same tokens make the same mask; nested booleans as an array."""
    if isinstance(value, range) or (isinstance(value, (list, tuple)) and all(map(is_integer, value))):
        return tuple(sorted({int(position) for position in value}))
    if not isinstance(value, (list, tuple)) or not all(isinstance(row, (list, tuple, range)) for row in value):
        return value
    rows = [_as_positions(row) for row in value]
    flags = all(isinstance(one, (bool, np.bool_)) for row in rows for one in row)
    return as_array(value) if flags and len({len(row) for row in rows}) == 1 and rows[0] else tuple(rows)


def _are_positions(value):
    return isinstance(value, tuple) and all(is_integer(position) and position >= 0 for position in value)


def _per_sample(value):
    return isinstance(value, tuple) and bool(value) and all(isinstance(one, tuple) for one in value)


def _as_value(tokens):
    """What two masks are compared by: lists may differ in length, and are compared as they are."""
    return by_content(tokens) if is_array(tokens) else tokens


_FLAGS = array(ndim=2, dtype="bool")
_tokens = Rule(
    "must be a list of positions from 0, such a list for each sample, or booleans (batch, seq)",
    lambda value: (
        _are_positions(value) or (_per_sample(value) and all(map(_are_positions, value))) or _FLAGS.test(value)
    ),
)


def _within_the_sequence(config):
    """What is wrong with the global tokens, if they do not lie within the sequence."""
    tokens, seq_len = config.global_tokens, config.seq_len
    if is_array(tokens):
        wrong = tokens.shape[-1] != seq_len
        return f"global_tokens must have shape (batch, seq_len={seq_len}), got {tuple(tokens.shape)}" if wrong else ""
    for sample, positions in enumerate(tokens if _per_sample(tokens) else (tokens,)):
        if positions and max(positions) >= seq_len:
            where = f" for sample {sample}" if _per_sample(tokens) else ""
            return f"global_tokens must be below seq_len={seq_len}, got {max(positions)}{where}"
    return ""


@frozen(kw_only=True)
class Longformer(AttentionMask):
    """Query q may see key k if |q - k| <= (window_size - 1) / 2, or if one of the two is a global token.

    The paper does not count the query: its window of 512 is window_size 513.

    Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150, section 3.1: "Sliding Window", where half of the window
    lies on each side, and "Global Attention", which is symmetric.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        window_size: width of the window in tokens, the query in the middle; odd.
        global_tokens: positions of the global tokens, in any order (in Python also a range). For each sample its own: a
            list of such lists, or booleans (batch, seq) of any array library.
    """

    name = "longformer"
    rules = (FieldRule(("global_tokens", "seq_len"), "must be below seq_len", _within_the_sequence),)
    samples = (
        dict(seq_len=16, window_size=5, global_tokens=[0, 10]),
        dict(seq_len=12, window_size=1),
        dict(seq_len=9, window_size=3, global_tokens=[8, 3, 4, 5]),
        dict(seq_len=7, window_size=31, global_tokens=[]),
        dict(seq_len=8, window_size=3, global_tokens=[[0, 1], [5, 0], []]),
        dict(seq_len=4, window_size=3, global_tokens=[[True, False, False, False], [False, True, False, True]]),
    )
    seq_len: int = field(validator=positive)
    window_size: int = field(validator=evolve(odd, hint=_neighbours))
    global_tokens: Any = field(default=(0,), converter=_as_positions, validator=_tokens, eq=_as_value)

    @property
    def axes(self):
        """With a batch where the samples have global tokens of their own."""
        return ("batch", "query", "key")[self._table is None :]

    @property
    def shape(self):
        batch = () if self._table is None else (self._table.shape[0],)
        return (*batch, self.seq_len, self.seq_len)

    def allows(self, *index):
        *batch, q, k = index
        return (abs(q - k) <= self.window_size // 2) | self._is_global(*batch, q) | self._is_global(*batch, k)

    @property
    def intervals(self):
        return (len(self._runs) if self._table is None else len(self._runs_of_samples)) + 1

    def spans(self, *rows):
        *batch, q = rows
        reach, sees_all = self.window_size // 2, self._is_global(*batch, q)
        first, behind = np.where(sees_all, 0, q - reach), np.where(sees_all, self.seq_len, q + reach + 1)
        if self._table is None:
            seen_by_all = [Spans.interval(*run) for run in self._runs]
        else:
            seen_by_all = [self._runs_of_samples.take(*batch)]
        return Spans.union([Spans.interval(first, behind), *seen_by_all])

    def _is_global(self, *index):
        if self._table is not None:
            return take(self._table, *index)
        (token,) = index
        found = token < 0
        for first, behind in self._runs:
            found = found | (token >= first) & (token < behind)
        return found

    @cached_property
    def _table(self):
        """Which tokens of each sample are global, as booleans (batch, seq); None where they are the same for all."""
        if not _per_sample(self.global_tokens):
            return self.global_tokens if is_array(self.global_tokens) else None
        table = np.zeros((len(self.global_tokens), self.seq_len), np.bool_)
        for row, positions in zip(table, self.global_tokens, strict=True):
            row[list(positions)] = True
        return table

    @cached_property
    def _runs_of_samples(self):
        return Spans.from_bool(host(self._table))

    @cached_property
    def _runs(self):
        """Neighbouring global tokens together, as intervals `[first, behind)`."""
        positions = set(self.global_tokens)
        firsts = [position for position in self.global_tokens if position - 1 not in positions]
        lasts = [position for position in self.global_tokens if position + 1 not in positions]
        return [(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]

    @classmethod
    def recognize(cls, spans):
        n, own = spans.limit, np.arange(spans.limit)
        sees_all = spans.counts() == n
        own_end = np.where((spans.lo <= own) & (own < spans.hi), spans.hi, 0).max(axis=0)
        ahead = (own_end - 1 - own)[~sees_all & (own_end > 0) & (own_end < n)]  # of rows that no end cuts
        if not len(ahead):
            return None
        tokens = [np.flatnonzero(one).tolist() for one in sees_all.reshape(-1, n)]
        reach = int(ahead.min())  # global tokens beside the window seem to widen it
        return dict(seq_len=n, window_size=2 * reach + 1, global_tokens=tokens if sees_all.ndim > 1 else tokens[0])


@hookimpl
def maskkit_masks():
    return [Longformer]
