"""Prefix tree: the contract, and the facts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from maskkit_mask_prefix_tree import PrefixTree
import maskkit
from maskkit.masks.rows import spans_of
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(PrefixTree)


@st.composite
def trees(draw):
    """Depth-first trees: each segment continues one on the path to the segment before it, or is a root."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=9).filter(sum))
    parents, path = [], []
    for segment in range(len(lengths)):
        path = path[: draw(st.integers(0, len(path)))]
        parents.append(path[-1] if path else -1)
        path.append(segment)
    return dict(lengths=lengths, parents=parents)


def path_of(parents, segment):
    """The segments from the root to this one."""
    return [] if segment < 0 else [*path_of(parents, parents[segment]), segment]


def tokens_of(lengths):
    """The segment of each token."""
    return [segment for segment, length in enumerate(lengths) for _ in range(length)]


@given(trees())
def test_a_token_sees_what_stands_before_it_on_its_path(tree):
    """Pair by pair; from the predicate, and from the spans."""
    segments = tokens_of(tree["lengths"])
    expected = [
        [key in path_of(tree["parents"], own) and k <= q for k, key in enumerate(segments)]
        for q, own in enumerate(segments)
    ]
    mask, tokens = PrefixTree(**tree), np.arange(len(segments))
    np.testing.assert_array_equal(mask.allows(tokens[:, None], tokens), expected)
    assert spans_of(mask, (), tokens).to_bool().tolist() == expected
    np.testing.assert_array_equal(mask.allowed(), expected)


@given(trees())
def test_every_sequence_sees_what_it_sees_alone(tree):
    """Of a path from a root to a leaf: rows and columns of its tokens are causal, at their own positions."""
    mask, segments = PrefixTree(**tree), np.array(tokens_of(tree["lengths"]))
    leaves = set(range(len(tree["parents"]))) - set(tree["parents"])
    for leaf in leaves:
        own = np.flatnonzero(np.isin(segments, path_of(tree["parents"], leaf)))
        np.testing.assert_array_equal(mask.allowed()[np.ix_(own, own)], np.tri(len(own), dtype=bool))
        assert mask.positions()[own].tolist() == list(range(len(own)))
        assert not np.delete(mask.allowed()[own], own, axis=1).any()


@given(trees())
def test_a_key_is_seen_by_one_interval_of_queries(tree):
    columns = PrefixTree(**tree).allowed().T
    for key, column in enumerate(columns):
        queries = np.flatnonzero(column)
        assert queries[0] == key
        assert (np.diff(queries) == 1).all()


@given(trees())
def test_weights_count_the_sequences_that_share_a_token(tree):
    mask, leaves = PrefixTree(**tree), set(range(len(tree["parents"]))) - set(tree["parents"])
    sequences = [path_of(tree["parents"], leaf) for leaf in leaves]
    each = [sum(segment in sequence for sequence in sequences) for segment in tokens_of(tree["lengths"])]
    assert mask.loss_weights("each").tolist() == each
    assert mask.loss_weights().tolist() == mask.loss_weights("once").tolist() == [1] * len(each)
    assert (mask.loss_weights("each").dtype, mask.positions().dtype) == (np.float32, np.int64)


def test_a_loss_over_the_pack_is_the_loss_over_its_sequences():
    """A prompt with three completions, weighted as often as the prompt is shared; attention and all."""
    generator = torch.Generator().manual_seed(0)
    lengths, parents = [5, 3, 1, 4], [-1, 0, 0, 0]
    mask = PrefixTree(lengths=lengths, parents=parents)
    tokens, positions = torch.randn(13, 8, generator=generator), torch.randn(13, 8, generator=generator)

    def losses(own, attn_mask):
        x = tokens[own] + positions[torch.from_numpy(mask.positions())[own]]
        out = torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None], attn_mask=attn_mask)
        return out[0].square().sum(-1)

    packed = losses(torch.arange(13), mask.allowed("torch"))
    alone = 0.0
    segments = torch.from_numpy(np.repeat(np.arange(4), lengths))
    for leaf in (1, 2, 3):
        own = torch.nonzero((segments == 0) | (segments == leaf))[:, 0]
        alone += losses(own, torch.ones(len(own), len(own)).tril() == 1).sum()
    torch.testing.assert_close((packed * torch.from_numpy(mask.loss_weights("each"))).sum(), alone)


def test_roots_alone_are_causal_documents():
    mask = PrefixTree(lengths=[3, 1, 4], parents=[-1, -1, -1])
    np.testing.assert_array_equal(mask, maskkit.parse("causal & document(lengths=[3, 1, 4])", seq_len=8))


def test_a_chain_is_causal_with_one_interval_a_row():
    mask = PrefixTree(lengths=[2] * 50, parents=list(range(-1, 49)))
    np.testing.assert_array_equal(mask, np.tri(100, dtype=bool))
    assert mask.stats().intervals == mask.intervals == 1


def test_many_completions_are_counted_from_spans():
    """A prompt of 10,000 tokens with 64 completions of 1,000."""
    mask = PrefixTree(lengths=[10_000] + [1_000] * 64, parents=[-1] + [0] * 64)
    stats = mask.stats()
    assert stats.intervals == 2
    assert stats.allowed == 10_000 * 10_001 // 2 + 64 * (1_000 * 10_000 + 1_000 * 1_001 // 2)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (dict(lengths=[2, -1], parents=[-1, 0]), "lengths must not be negative, got -1 for segment 1"),
        (dict(lengths=[0, 0], parents=[-1, 0]), "lengths must have a positive sum, got 0"),
        (dict(lengths=[], parents=[]), "lengths must be an integer array with 1 axis, .* no axis may be empty"),
        (dict(lengths=[2, 1], parents=[-1]), "parents must have an entry for each of the 2 segments, got 1"),
        (dict(lengths=[2, 1], parents=[-1, 1]), "parents must be -1 for a root, .*, got 1 for segment 1, itself"),
        (dict(lengths=[2, 1], parents=[1, 0]), ".*, got 1 for segment 0, which does not stand before it"),
        (dict(lengths=[2, 1], parents=[-1, 7]), ".*, got 7 for segment 1, which does not stand before it"),
        (dict(lengths=[2, 1], parents=[-1, -2]), "parents must be -1 for a root, .*, got -2 for segment 1"),
        (dict(lengths=[2.0], parents=[-1]), "lengths must be an integer array with 1 axis"),
        (dict(lengths=[2], parents=[[-1]]), "parents must be an integer array with 1 axis"),
        (
            dict(lengths=[1] * 5, parents=[-1, 0, 0, 1, -1]),
            "segments must come depth-first, but segment 3 continues 1, and segment 2 before it does not; "
            r"pack them in an order .*: \[0, 1, 3, 2, 4\]",
        ),
    ],
)
def test_what_is_no_tree_in_depth_first_order_is_refused(params, problem):
    with pytest.raises(maskkit.ConfigError, match=f"^{problem}"):
        PrefixTree(**params)


def test_the_order_that_a_refusal_gives_is_accepted():
    """Renumbered, it is the same tree."""
    parents = [-1, -1, 0, 1, 0, 2, 3, 2]
    with pytest.raises(maskkit.ConfigError, match="depth-first") as refusal:
        PrefixTree(lengths=[1] * 8, parents=parents)
    order = [int(one) for one in str(refusal.value).rpartition("[")[2].rstrip("]").split(",")]
    number = {-1: -1} | {old: new for new, old in enumerate(order)}
    assert sorted(order) == list(range(8))
    PrefixTree(lengths=[1] * 8, parents=[number[parents[old]] for old in order])


def test_an_unknown_way_of_counting_is_refused():
    with pytest.raises(maskkit.ConfigError, match="shared must be one of 'once', 'each', got 'twice'"):
        PrefixTree(lengths=[2], parents=[-1]).loss_weights("twice")
