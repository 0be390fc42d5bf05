"""Whole words of a sequence: which tokens are one word, and words that add up to a number of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from maskkit import ConfigError
from maskkit.arrays import fetched
from maskkit_jepa.randomness import Array, Bits, Bools, Ints, shuffle

NO_WORD = -1
"""The word of a token that is in none, such as [CLS]."""
_NOT_GIVEN = -2


def word_array(values: Any, tokens: int) -> Array:
    """Word ids (B, N) as integers, -1 for none, from an array of any library, or a list of ids and None for each text.

    Lists may be shorter than `tokens`; `check_given` says whether they are too short.
    """
    if isinstance(values, (list, tuple)):
        rows = [_row(number, ids, tokens) for number, ids in enumerate(values)]
        return np.stack(rows) if rows else np.empty((0, tokens), np.int64)
    found = fetched(values)
    if found.ndim != 2 or found.shape[1] != tokens or found.dtype.kind not in "iu":
        raise ConfigError(
            f"word_ids must be integers (B, {tokens}), -1 for no word, or a list of integers and None for each text, "
            f"got shape {found.shape} and dtype {found.dtype}"
        )
    return _checked(found).astype(np.int64)


def _row(number: int, ids: Any, tokens: int) -> Ints:
    """The ids of one text."""
    found = fetched([NO_WORD if word is None else word for word in ids] if isinstance(ids, (list, tuple)) else ids)
    if found.ndim != 1 or len(found) > tokens or (len(found) and found.dtype.kind not in "iu"):
        raise ConfigError(
            f"word_ids[{number}] must be at most {tokens} integers, or None for tokens of no word, got {ids!r:.60}"
        )
    row = np.full(tokens, _NOT_GIVEN)
    row[: len(found)] = _checked(found)
    return row


def _checked(ids: Array) -> Array:
    if ids.size and ids.min() < NO_WORD:
        raise ConfigError(f"word_ids must be 0 or more, or -1 for tokens of no word, got {ids.min()}")
    return ids


def check_given(ids: Ints, real: Bools) -> None:
    """Raises ConfigError where a text has tokens behind its list of ids."""
    short = (real & (ids == _NOT_GIVEN)).any(axis=1)
    if short.any():
        row = int(short.argmax())
        raise ConfigError(
            f"word_ids[{row}] has {(ids[row] != _NOT_GIVEN).sum()} ids, and the text {real[row].sum()} tokens; give "
            f"None for tokens of no word, and lengths or attention_mask where there is padding"
        )


def word_numbers(ids: Ints) -> Ints:
    """The number of the word that a token is in, from 0 on in each text, else -1: (B, N).

    A word is a run of tokens with one id. An id that comes back is another word: tokenizers begin anew with the second
    text of a pair.
    """
    starts = ids > NO_WORD
    inside = starts.copy()
    starts[:, 1:] &= ids[:, 1:] != ids[:, :-1]
    return np.where(inside, starts.cumsum(axis=1) - 1, -1)


def in_whole_words(numbers: Ints, open_to: Bools) -> Bools:
    """Tokens of the words of which every token may be predicted: (B, N)."""
    closed = _count_by_word(numbers, ~open_to) > 0
    return (numbers >= 0) & ~np.take_along_axis(closed, np.maximum(numbers, 0), axis=1)


def choose_words(keys: Bits, numbers: Ints, among: Bools, wanted: Ints, most: Ints) -> Bools:
    """The tokens of random words, as many tokens as words can add up to, nearest to a number: (B, N).

    Words are gone through in random order, and each is taken with which that sum can still be reached.

    Args:
        keys: of the samples.
        numbers: (B, N) of the words of tokens.
        among: (B, N) the tokens of the words that may be taken.
        wanted: (B,) the number of tokens, one at least.
        most: (B,) what must not be exceeded, `wanted` at least.
    """
    lengths = _count_by_word(numbers, among)
    order = shuffle(keys, 0, numbers.shape[1])
    lengths_in_order = np.take_along_axis(lengths, order, axis=1)
    chosen = np.zeros(numbers.shape, np.bool_)
    for row, in_order in enumerate(lengths_in_order):
        some = np.flatnonzero(in_order)
        taken = nearest_sum(in_order[some].tolist(), int(wanted[row]), int(most[row]))
        if not taken:
            raise ConfigError(
                f"row {row} is a single word of {int(most[row]) + 1} tokens, which leaves nothing to predict from: "
                f"leave such texts out of the batch"
            )
        chosen[row, order[row, some[taken]]] = True
    return among & np.take_along_axis(chosen, np.maximum(numbers, 0), axis=1)


def nearest_sum(lengths: list[int], wanted: int, most: int) -> list[int]:
    """Which of these positive lengths to take, so that their sum is the one nearest to `wanted`; the lower of two.

    The sum is 1 at least and `most` at most; none are taken where none is so. The earlier ones are preferred.
    """
    limit = min(most, wanted + max(lengths))  # the nearest sum is nearer than one length
    within = (1 << limit + 1) - 1
    sums = [1]  # of the last 0, 1, .. lengths: bit s says whether some of them add up to s
    for length in reversed(lengths):
        if sums[-1] == within:  # all sums, so with more of them too
            break
        sums.append(sums[-1] | sums[-1] << length & within)
    near = (total for distance in range(limit) for total in (wanted - distance, wanted + distance))
    left = next((total for total in near if 0 < total <= limit and sums[-1] >> total & 1), 0)
    taken = []
    for number, length in enumerate(lengths):
        if not left:
            break
        behind = sums[min(len(lengths) - 1 - number, len(sums) - 1)]
        if length <= left and behind >> left - length & 1:
            taken.append(number)
            left -= length
    return taken


def _count_by_word(numbers: Ints, which: Bools) -> Ints:
    """How many of these tokens each word has: (B, N), by its number."""
    size, tokens = numbers.shape
    row, token = np.nonzero(which & (numbers >= 0))
    counts: Ints = np.bincount(row * tokens + numbers[row, token], minlength=size * tokens)
    return counts.reshape(size, tokens)
