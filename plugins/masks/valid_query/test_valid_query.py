"""Valid query: the contract, and the facts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from maskkit_mask_valid_query import ValidQuery
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(ValidQuery)


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_a_count_allows_the_first_queries(count):
    assert ValidQuery(num_queries=6, valid_queries=count).allowed().tolist() == [True] * count + [False] * (6 - count)


def test_none_means_that_all_are_valid():
    assert ValidQuery(num_queries=3).allowed().tolist() == [True, True, True]


def test_booleans_say_which_are_valid():
    flags = [True, False, True]
    assert ValidQuery(num_queries=3, valid_queries=flags).allowed().tolist() == flags


@pytest.mark.parametrize("count", [np.int64(2), np.array(2), torch.tensor(2), jnp.asarray(2)])
def test_a_count_may_be_a_scalar_of_any_library(count):
    assert ValidQuery(num_queries=4, valid_queries=count) == ValidQuery(num_queries=4, valid_queries=2)


def test_a_count_may_be_traced():
    """The number of objects of a picture is known only when a compiled program runs."""
    allowed = jax.jit(lambda count: ValidQuery(num_queries=4, valid_queries=count).allowed("jax"))
    assert [allowed(n).tolist() for n in (1, 3)] == [[True, False, False, False], [True, True, True, False]]


@pytest.mark.parametrize("count", [-1, 7])
def test_refuses_a_count_beyond_the_queries(count):
    with pytest.raises(maskkit.ConfigError, match=rf"^valid_queries must be in 0..num_queries \(0..6\), got {count}$"):
        ValidQuery(num_queries=6, valid_queries=count)


def test_refuses_booleans_of_another_length():
    with pytest.raises(maskkit.ConfigError, match=r"^valid_queries must have num_queries \(3\) entries, got 2$"):
        ValidQuery(num_queries=3, valid_queries=[True, False])


@pytest.mark.parametrize("bad", [True, 2.0, "all", [1, 0, 1], [[True, False, True]], torch.tensor(True)])
def test_refuses_what_is_neither_count_nor_booleans(bad):
    with pytest.raises(
        maskkit.ConfigError, match=r"^valid_queries must be a count, a boolean array with 1 axis, or None"
    ):
        ValidQuery(num_queries=3, valid_queries=bad)
