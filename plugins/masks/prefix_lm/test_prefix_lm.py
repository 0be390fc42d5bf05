"""Prefix LM: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_prefix_lm import PrefixLM
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(PrefixLM)


@pytest.mark.parametrize("prefix_len", [0, 1, 3, 5])
def test_is_the_lower_triangle_and_the_columns_of_the_prefix(prefix_len):
    expected = np.tri(5, dtype=bool)
    expected[:, :prefix_len] = True
    np.testing.assert_array_equal(PrefixLM(seq_len=5, prefix_len=prefix_len).allowed(), expected)


def test_the_prefix_sees_nothing_behind_it():
    assert not PrefixLM(seq_len=8, prefix_len=3)[:3, 3:].allowed().any()


def test_a_prefix_of_the_whole_sequence_or_more_allows_everything():
    for prefix_len in (4, 9):
        assert PrefixLM(seq_len=4, prefix_len=prefix_len).allowed().all()


def test_has_one_interval_a_row():
    assert PrefixLM(seq_len=100_000, prefix_len=30_000).stats().intervals == 1


def test_refuses_a_negative_prefix():
    with pytest.raises(maskkit.ConfigError, match=r"^prefix_len must not be negative, got -1$"):
        PrefixLM(seq_len=4, prefix_len=-1)
