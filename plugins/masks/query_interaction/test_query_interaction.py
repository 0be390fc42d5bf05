"""Query interaction: the contract, and the facts."""

import numpy as np
import pytest
import torch
from maskkit_mask_query_interaction import QueryInteraction
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(QueryInteraction)


@pytest.mark.parametrize("num_queries", [1, 2, 5])
@pytest.mark.parametrize(
    ("interaction_type", "expected"),
    [("none", np.eye), ("self", lambda n: np.ones((n, n))), ("cross", lambda n: 1 - np.eye(n))],
)
def test_the_type_names_what_is_allowed(interaction_type, expected, num_queries):
    mask = QueryInteraction(num_queries=num_queries, interaction_type=interaction_type)
    np.testing.assert_array_equal(mask.allowed(), expected(num_queries).astype(bool))


def test_only_a_single_query_of_type_cross_has_a_row_that_sees_nothing():
    """A query without interaction still sees itself: a blocked row would give it no output at all."""
    for kind in ("none", "self"):
        assert QueryInteraction(num_queries=1, interaction_type=kind).stats().blocked_rows == 0
    assert QueryInteraction(num_queries=1, interaction_type="cross").stats().blocked_rows == 1
    assert QueryInteraction(num_queries=2, interaction_type="cross").stats().blocked_rows == 0


def test_self_is_the_default():
    assert QueryInteraction(num_queries=3) == QueryInteraction(num_queries=3, interaction_type="self")


@pytest.mark.parametrize(("interaction_type", "most"), [("none", 1), ("self", 1), ("cross", 2)])
def test_types_without_levels_have_exact_spans(interaction_type, most):
    """They are drawn and counted in time that follows the number of queries."""
    assert QueryInteraction(num_queries=9, interaction_type=interaction_type).stats().intervals == most


LEVELS = [3, 0, 1, 1, 2, -1]


def hierarchical(levels):
    return QueryInteraction(num_queries=len(levels), interaction_type="hierarchical", hierarchy_levels=levels)


def test_levels_at_most_one_apart_interact():
    expected = [[abs(a - b) <= 1 for b in LEVELS] for a in LEVELS]
    np.testing.assert_array_equal(hierarchical(LEVELS).allowed(), expected)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize(("dtype", "levels"), [("uint8", [0, 1, 2, 255]), ("int8", [-128, 0, 127])])
def test_narrow_levels_do_not_wrap_around(kind, dtype, levels):
    """0 - 1 is 255 among bytes, which is a level difference of 1 all the same."""
    expected = [[abs(a - b) <= 1 for b in levels] for a in levels]
    np.testing.assert_array_equal(hierarchical(kind(np.array(levels, dtype))).allowed(), expected)


def test_hierarchical_asks_for_levels():
    with pytest.raises(maskkit.ConfigError, match=r"^hierarchy_levels required for interaction_type 'hierarchical'$"):
        QueryInteraction(num_queries=3, interaction_type="hierarchical")


def test_levels_that_would_be_ignored_are_refused():
    expected = r"^hierarchy_levels must be None for interaction_type 'cross', got an array of shape \(2,\)"
    with pytest.raises(maskkit.ConfigError, match=expected):
        QueryInteraction(num_queries=2, interaction_type="cross", hierarchy_levels=[0, 1])


def test_every_query_needs_a_level():
    with pytest.raises(maskkit.ConfigError, match=r"^hierarchy_levels must have num_queries \(4\) entries, got 3$"):
        QueryInteraction(num_queries=4, interaction_type="hierarchical", hierarchy_levels=[0, 1, 2])


def test_levels_are_integers():
    with pytest.raises(
        maskkit.ConfigError, match=r"^hierarchy_levels must be an integer array with 1 axis, or None, got"
    ):
        hierarchical([0.5, 1.5])


def test_refuses_an_unknown_type():
    expected = r"^interaction_type must be one of 'none', 'self', 'cross', 'hierarchical', got 'all'"
    with pytest.raises(maskkit.ConfigError, match=expected):
        QueryInteraction(num_queries=4, interaction_type="all")


def test_levels_whose_differences_are_not_exact_are_refused():
    with pytest.raises(maskkit.ConfigError, match=r"^hierarchy_levels must be in -2\*\*53..2\*\*53, or None, got"):
        hierarchical(np.array([-(2**63), 2**63 - 1]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_unsigned_levels_of_torch(dtype):
    """Torch holds them, and does not compute with the wider ones."""
    levels = torch.tensor([0, 1, 3], dtype=getattr(torch, dtype))
    mask, plain = hierarchical(levels), hierarchical([0, 1, 3])
    mod = mask.mask_mod()
    index = torch.arange(3)
    assert mod(0, 0, index[:, None], index[None]).tolist() == plain.allowed().tolist()
    assert mask.allowed("torch").tolist() == plain.allowed().tolist()
    mask.to_flex()
