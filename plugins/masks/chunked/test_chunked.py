"""Chunked: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_chunked import Chunked
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Chunked)


@pytest.mark.parametrize(("seq_len", "chunk_size"), [(1, 1), (1, 5), (12, 4), (13, 4), (7, 1), (6, 6), (6, 90)])
def test_is_a_causal_triangle_in_every_chunk(seq_len, chunk_size):
    expected = np.zeros((seq_len, seq_len), bool)
    for start in range(0, seq_len, chunk_size):
        for query in range(start, min(start + chunk_size, seq_len)):
            expected[query, start : query + 1] = True
    np.testing.assert_array_equal(Chunked(seq_len=seq_len, chunk_size=chunk_size).allowed(), expected)


def test_the_first_query_of_a_chunk_sees_itself_alone():
    """Unlike a sliding window, a chunk forgets everything at its start."""
    assert Chunked(seq_len=12, chunk_size=4).allowed().sum(axis=1).tolist() == [1, 2, 3, 4] * 3


def test_a_long_sequence_counts_without_a_dense_array():
    assert Chunked(seq_len=65_536, chunk_size=8192).stats().allowed == 8 * (8192 * 8193 // 2)
