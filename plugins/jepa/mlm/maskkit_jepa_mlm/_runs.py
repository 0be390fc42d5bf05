"""Spans of a sequence: so many tokens in runs of random length, none on top of another."""

from __future__ import annotations

import numpy as np
from maskkit_jepa.randomness import Bits, Bools, Floats, Ints, choose, fork, uniform

_FORK_PLACES = 1


def span_numbers(keys: Bits, count: Ints, among: Bools, lengths: Floats) -> Ints:
    """Exactly `count` tokens of each sample in spans: (B, N) the number of the span that a token is in, else -1.

    Lengths are drawn until they add up, the last one cut to what is left; then all ways to set these spans down in this
    order are equally likely. No draw is ever repeated. Spans may touch; one that meets a token it must not have goes on
    behind it.

    Args:
        keys: of the samples.
        count: (B,), at most what there is to choose from.
        among: (B, N) which tokens may be in spans.
        lengths: running probabilities of the lengths 1, 2, .. up to 1.
    """
    size, tokens = among.shape
    most = max(int(count.max(initial=0)), 1)
    drawn = np.searchsorted(lengths, uniform(keys, 0, most), side="right") + 1
    ends = np.minimum(drawn.cumsum(axis=1), count[:, None])
    spans = np.count_nonzero(np.diff(ends, axis=1, prepend=0), axis=1)
    # A line of what is left and of the spans, each a single piece: any `spans` of the pieces may be the spans.
    free = among.sum(axis=1) - count
    pieces = np.arange(tokens) < (free + spans)[:, None]
    is_span = choose(fork(keys, _FORK_PLACES), 0, spans, pieces)
    row, place = np.nonzero(is_span)
    number = np.arange(len(row)) - np.repeat(spans.cumsum() - spans, spans)
    before = np.where(number > 0, ends[row, number - 1], 0)
    # Token i of the line is in the last span that starts at or before it, unless that has ended.
    start = place - number + before
    started = np.zeros((size, tokens), np.int64)
    started[row, start] = 1
    last = started.cumsum(axis=1) - 1
    end_of = np.zeros((size, most), np.int64)
    end_of[row, number] = start + ends[row, number] - before
    inside = (last >= 0) & (np.arange(tokens) < np.take_along_axis(end_of, np.maximum(last, 0), axis=1))
    line = np.where(inside, last, -1)
    # The line has only the tokens that may be in spans: back to their places.
    spread = np.full((size, tokens), -1, np.int64)
    spread[among] = line[np.arange(tokens) < among.sum(axis=1)[:, None]]
    return spread
