"""Strided: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_strided import Strided
from maskkit import limits
from maskkit.masks.rows import spans_of
from maskkit.testing import check_plugin


def both_heads(seq_len, stride):
    """The paper's A1 = {t, .., i} with t = max(0, i - l), and A2 = {j <= i: (i - j) mod l = 0}, in one."""
    seen = np.zeros((seq_len, seq_len), bool)
    for i in range(seq_len):
        seen[i, max(0, i - stride) : i + 1] = True
        for j in range(i + 1):
            if (i - j) % stride == 0:
                seen[i, j] = True
    return seen


def test_contract():
    check_plugin(Strided)


@pytest.mark.parametrize(("seq_len", "stride"), [(1, 1), (1, 7), (16, 4), (17, 5), (12, 1), (9, 40), (150, 3)])
def test_is_both_heads_of_the_paper(seq_len, stride):
    np.testing.assert_array_equal(Strided(seq_len=seq_len, stride=stride).allowed(), both_heads(seq_len, stride))


@pytest.mark.parametrize(("seq_len", "stride"), [(30, 5), (31, 6), (25, 2)])
def test_two_steps_reach_everything_before(seq_len, stride):
    """What the factorisation is for: any token comes to any later one through one other at most."""
    once = Strided(seq_len=seq_len, stride=stride).allowed(dtype="int64")
    np.testing.assert_array_equal(once @ once > 0, np.tri(seq_len, dtype=bool))


def test_spans_and_predicate_agree_about_many_keys(monkeypatch):
    """A stride that needs more intervals than the limit has no spans; with a higher limit it has, and is the same."""
    monkeypatch.setattr(limits, "few_intervals", 0)
    mask = Strided(seq_len=200, stride=4)
    dense = mask.allowed()
    assert mask.stats().intervals is None
    monkeypatch.setattr(limits, "intervals", 50)
    assert mask.stats().intervals == 49
    np.testing.assert_array_equal(mask.allowed(), dense)


def test_few_rows_have_spans_of_any_number_of_intervals():
    """What is written out or exported from a few of its rows needs no predicate: here from two, of 50 intervals."""
    mask = Strided(seq_len=200, stride=4)
    assert spans_of(mask, (), np.array([199, 0])) is not None
    assert spans_of(mask, (), np.arange(200).repeat(10)) is None
