"""Document: the contract, and the facts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from maskkit_mask_document import Document
import maskkit
from maskkit.masks.rows import reach_of
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Document)


def equal_ids(ids):
    return np.equal.outer(ids, ids)


def test_lengths_of_any_integer_dtype():
    wide = Document(lengths=[2, 0, 3]).allowed()
    for dtype in (np.uint8, np.int16, np.uint32, np.uint64):
        np.testing.assert_array_equal(Document(lengths=np.array([2, 0, 3], dtype)).allowed(), wide)


def test_more_tokens_than_can_be_numbered_are_refused():
    with pytest.raises(maskkit.TooLarge, match=r"1,099,511,627,776 rows"):
        maskkit.create("document", lengths=[2**40])


def test_lengths_are_blocks_on_the_diagonal():
    """An empty document leaves no trace."""
    np.testing.assert_array_equal(Document(lengths=[2, 0, 3, 1]).allowed(), equal_ids([0, 0, 1, 1, 1, 2]))


@given(st.lists(st.integers(-2, 3), min_size=1, max_size=24))
def test_tokens_of_equal_id_see_each_other(ids):
    """Wherever they stand; padding with an id of its own is a document like any other."""
    np.testing.assert_array_equal(Document(ids=ids).allowed(), equal_ids(ids))


def test_every_sample_of_a_batch_has_its_own_documents():
    ids = [[0, 0, 1], [4, 3, 3]]
    np.testing.assert_array_equal(Document(ids=ids).allowed(), [equal_ids(row) for row in ids])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=24))
def test_documents_in_one_piece_have_exact_spans_and_others_a_cover(ids):
    """The cover reaches from the first token of the document to its last."""
    mask = Document(ids=ids)
    whole = 1 + np.count_nonzero(np.diff(ids)) == len(set(ids))
    assert (mask.spans(np.arange(len(ids))) is not None) == whole
    reach = reach_of(mask, (), np.arange(len(ids)))
    for q, id_ in enumerate(ids):
        seen = [k for k, other in enumerate(ids) if other == id_]
        assert reach.row(q) == [(seen[0], seen[-1] + 1)]


def test_a_million_tokens_are_counted_from_spans():
    lengths = np.full(1000, 1000)
    stats = Document(lengths=lengths).stats()
    assert (stats.intervals, stats.allowed) == (1, 1000 * 1000**2)


@given(st.lists(st.integers(-2, 3), min_size=1, max_size=12), st.lists(st.integers(-2, 3), min_size=1, max_size=12))
def test_queries_see_the_keys_of_their_id(ids, key_ids):
    """Also where their numbers differ, an id is missing on one side, or comes back."""
    mask = Document(ids=ids, key_ids=key_ids)
    np.testing.assert_array_equal(mask.allowed(), np.equal.outer(ids, key_ids))
    reach = reach_of(mask, (), np.arange(len(ids)))
    for q, id_ in enumerate(ids):
        seen = [k for k, other in enumerate(key_ids) if other == id_]
        assert reach.row(q) == ([(seen[0], seen[-1] + 1)] if seen else [])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6))
def test_lengths_of_queries_and_keys_are_oblong_blocks(sizes):
    """Document by document from the corner on; one without keys leaves its queries nothing to see."""
    lengths, key_lengths = (list(one) for one in zip(*sizes, strict=True))
    assume(sum(lengths) and sum(key_lengths))
    expected = np.zeros((sum(lengths), sum(key_lengths)), bool)
    for i in range(len(sizes)):
        q, k = sum(lengths[:i]), sum(key_lengths[:i])
        expected[q : q + lengths[i], k : k + key_lengths[i]] = True
    mask = Document(lengths=lengths, key_lengths=key_lengths)
    np.testing.assert_array_equal(mask.allowed(), expected)
    assert mask.stats().blocked_rows == sum(n for n, m in sizes if not m)


def test_every_sample_has_keys_of_its_own():
    ids, key_ids = jnp.array([[0, 0, 1], [4, 3, 3]]), jnp.array([[1, 0], [3, 3]])
    expected = [np.equal.outer(*sample) for sample in zip(ids, key_ids, strict=True)]
    mask = Document(ids=ids, key_ids=key_ids)
    assert (mask.axes, mask.shape) == (("batch", "query", "key"), (2, 3, 2))
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (dict(ids=[0, 1], key_lengths=[1, 1]), "key_lengths is for documents given by lengths, which are not given"),
        (dict(lengths=[1, 1], key_ids=[0, 1]), "key_ids is for documents given by ids, which are not given"),
        (
            dict(lengths=[1, 1], key_lengths=[1, 1, 2]),
            r"lengths and key_lengths must have the same number of documents, got shapes \(2,\) and \(3,\)",
        ),
        (
            dict(ids=[[0, 1]], key_ids=[[0], [1]]),
            r"ids and key_ids must have the same batch, got shapes \(1, 2\) and \(2, 1\)",
        ),
        (dict(ids=[[0, 1]], key_ids=[0, 1]), "ids and key_ids must have the same batch"),
        (dict(lengths=[1, 1], key_lengths=[2, -1]), "key_lengths must not be negative, got -1 for document 1"),
        (dict(lengths=[1, 1], key_lengths=[0, 0]), "key_lengths must have a positive sum, got 0"),
        (dict(ids=[[0, 1], [0, 1]], key_ids=[[0, 1], [0]]), "key_ids must be an integer array with 1 or 2 axes"),
        (dict(ids=[[0, 1], [0]]), "ids must be an integer array with 1 or 2 axes"),
    ],
)
def test_keys_that_do_not_fit_the_queries_are_refused(params, problem):
    with pytest.raises(maskkit.ConfigError, match=f"^{problem}"):
        maskkit.create("document", **params)


def test_with_causal_every_document_is_causal_by_itself():
    mask = maskkit.parse("document(lengths=[2, 3]) & causal", seq_len=5)
    expected = np.zeros((5, 5), bool)
    expected[:2, :2], expected[2:, 2:] = np.tri(2), np.tri(3)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(("given", "params"), [("neither", {}), ("both", dict(lengths=[1, 1], ids=[0, 1]))])
def test_takes_lengths_or_ids_and_not_both(given, params):
    with pytest.raises(maskkit.ConfigError, match=f"^document takes either lengths or ids, got {given}; lengths="):
        Document(**params)


def test_refuses_negative_lengths():
    with pytest.raises(maskkit.ConfigError, match=r"^lengths must not be negative, got -2 for document 1$"):
        Document(lengths=[3, -2])


def test_refuses_documents_without_any_token():
    with pytest.raises(maskkit.ConfigError, match=r"^lengths must have a positive sum, got 0$"):
        Document(lengths=[0, 0])


def test_traced_lengths_are_refused_since_the_shape_hangs_on_them():
    with pytest.raises(
        maskkit.ConfigError, match=r"^lengths must be in host memory and not traced, .*; give ids instead"
    ):
        jax.jit(lambda lengths: Document(lengths=lengths).allowed("jax"))(jnp.array([2, 3]))


@pytest.mark.parametrize("bad", [[0.5, 1.0], [[[0, 1]]], [True, False], 3])
def test_refuses_what_are_no_ids(bad):
    expected = r"^ids must be an integer array with 1 or 2 axes, or None, got"
    with pytest.raises(maskkit.ConfigError, match=expected):
        Document(ids=bad)


def test_refuses_what_are_no_lengths():
    with pytest.raises(maskkit.ConfigError, match=r"^lengths must be an integer array with 1 axis, or None, got"):
        Document(lengths=[1.5, 2])
