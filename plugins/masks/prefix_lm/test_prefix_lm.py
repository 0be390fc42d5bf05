"""Prefix LM: the contract, and the facts."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
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


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, jnp.array, lambda x: np.array(x, np.uint8)])
def test_every_sample_may_have_a_prefix_of_its_own(kind):
    """A batch of masks, each what it is alone."""
    lengths = [3, 0, 5, 9]
    mask = PrefixLM(seq_len=5, prefix_len=kind(lengths))
    assert (mask.axes, mask.shape) == (("batch", "query", "key"), (4, 5, 5))
    expected = [PrefixLM(seq_len=5, prefix_len=length).allowed() for length in lengths]
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(mask.allowed("torch"), expected)
    for sample, alone in enumerate(expected):
        np.testing.assert_array_equal(mask[sample], alone)


def test_one_prefix_for_all_makes_a_mask_without_a_batch():
    for length in (3, np.int64(3), torch.tensor(3)):
        mask = PrefixLM(seq_len=5, prefix_len=length)
        assert (mask.axes, mask.shape, mask.prefix_len) == (("query", "key"), (5, 5), 3)


def test_arrays_stay_the_callers_own():
    lengths = torch.tensor([3, 4])
    assert PrefixLM(seq_len=8, prefix_len=lengths).prefix_len is lengths


@pytest.mark.parametrize("bad", [-1, True, 2.5, "3", None, [3, -1], [[3]], [2.0], [True], []])
def test_refuses_what_is_no_length(bad):
    expected = r"^prefix_len must be an integer from 0, or such integers \(batch,\), got"
    for make in (PrefixLM, lambda **params: maskkit.create("prefix_lm", **params)):
        with pytest.raises(maskkit.ConfigError, match=expected):
            make(seq_len=4, prefix_len=bad)
