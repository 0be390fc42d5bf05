"""Counts of tokens: the roundings, and what is said of a share that is none or all."""

import itertools
import re
from fractions import Fraction

import pytest
from maskkit import ConfigError
from maskkit_jepa import exact_count
from maskkit_jepa.counts import ROUNDINGS


def test_the_nearest_number_is_masked_a_half_up():
    """Against fractions that floats hold exactly, halves among them."""
    for tokens, k in itertools.product(range(2, 200), range(1, 64)):
        count = int(tokens * Fraction(k, 64) + Fraction(1, 2))
        if 0 < count < tokens:
            assert exact_count(k / 64, tokens) == count


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_the_nearest_ratio_that_is_named_is_possible(rounding):
    """And masks one token, or all but one."""
    for tokens, ratio in itertools.product((2, 3, 10, 36, 196, 9999, 123_456), (1e-9, 0.02, 0.9, 1 - 1e-9)):
        try:
            exact_count(ratio, tokens, rounding=rounding)
        except ConfigError as error:
            named = float(re.search(r"; (\S+) is the nearest", str(error)).group(1))
            assert exact_count(named, tokens, rounding=rounding) == (1 if ratio < 0.5 else tokens - 1)


def test_a_single_token_cannot_be_left_and_masked():
    with pytest.raises(ConfigError, match="there is only 1; enlarge the grid"):
        exact_count(0.5, 1)
