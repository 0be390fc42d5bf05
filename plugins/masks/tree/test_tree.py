"""Tree: the contract, and the facts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from maskkit_mask_tree import Tree
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Tree)


def by_walking_up(parents):
    """Each token allows what it meets on the way to its root."""
    expected = np.zeros((len(parents),) * 2, bool)
    for q in range(len(parents)):
        k = q
        while k != -1:
            expected[q, k] = True
            k = parents[k]
    return expected


FORESTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=40).map(
    lambda numbers: [number % (i + 1) - 1 for i, number in enumerate(numbers)]
)


@given(FORESTS)
def test_a_token_sees_itself_and_its_ancestors(parents):
    """In forests of any number of trees, of any depth."""
    np.testing.assert_array_equal(Tree(parents=parents).allowed(), by_walking_up(parents))


def test_traced_parents_give_the_same():
    """A tree that is drafted anew in each step needs no new program."""
    allowed = jax.jit(lambda parents: Tree(parents=parents).allowed("jax"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        parents = [int(rng.integers(-1, i)) for i in range(17)]
        np.testing.assert_array_equal(allowed(jnp.asarray(parents)), by_walking_up(parents))
    assert allowed._cache_size() == 1


@pytest.mark.parametrize("seq_len", [1, 2, 3, 4, 5, 8, 9, 100])
def test_a_chain_is_causal(seq_len):
    np.testing.assert_array_equal(Tree(parents=np.arange(seq_len) - 1).allowed(), np.tri(seq_len, dtype=bool))


def test_roots_alone_see_themselves():
    np.testing.assert_array_equal(Tree(parents=[-1] * 5).allowed(), np.eye(5, dtype=bool))


def test_narrow_integers_do_not_wrap_around():
    """127 is the largest parent that fits into a byte, and 128 tokens are enough for that."""
    parents = np.minimum(np.arange(200) - 1, 127)
    for narrow in (parents.astype(np.int8), torch.from_numpy(parents).to(torch.int8), jnp.asarray(parents, jnp.int8)):
        np.testing.assert_array_equal(Tree(parents=narrow).allowed(), by_walking_up(parents.tolist()))


@pytest.mark.parametrize(
    ("parents", "text"),
    [
        ([0], r"parents\[0\] must be -1 \(a root\), got 0"),
        ([-1, 0, 2], r"parents\[2\] must be -1 \(a root\) or in 0..1 \(before it\), got 2"),
        ([-1, -2], r"parents\[1\] must be -1 \(a root\) or in 0..0 \(before it\), got -2"),
    ],
)
def test_parents_stand_before_their_children(parents, text):
    with pytest.raises(maskkit.ConfigError, match=f"^{text}$"):
        Tree(parents=parents)


@pytest.mark.parametrize("bad", [[-1.0, 0.0], [[-1, 0]], None])
def test_refuses_what_are_no_parents(bad):
    with pytest.raises(maskkit.ConfigError, match=r"^parents must be an integer array with 1 axis, got"):
        Tree(parents=bad)
