"""Packed documents for variable-length kernels: read back by the meaning of their arguments, and executed."""

import itertools

import numpy as np
import pytest
import torch
from attrs import field, frozen
from hypothesis import assume, given
from hypothesis import strategies as st
import maskkit
from maskkit import AttentionMask, Spans, by_content, take


@frozen(kw_only=True)
class Bits(AttentionMask):
    """An array that knows its intervals."""

    name = "bits"
    bits: np.ndarray = field(eq=by_content)

    @property
    def shape(self):
        return self.bits.shape

    def allows(self, *index):
        return take(self.bits, *index)

    def spans(self, *rows):
        return Spans.from_bool(self.bits[rows])


def read_back(form, samples, queries, keys):
    """The mask that the arguments stand for, by FlashAttention's documentation, pair by pair.

    A query sees keys of its own document alone. If causal, a document is aligned to its bottom right corner: query i of
    n sees key j of m where j <= i + m - n.
    """
    allowed = np.zeros((samples * queries, samples * keys), bool)
    ends = zip(form["cu_seqlens_q"].tolist(), form["cu_seqlens_k"].tolist(), strict=True)
    for (q, k), (q_end, k_end) in itertools.pairwise(ends):
        n, m = q_end - q, k_end - k
        for i, j in np.ndindex(n, m):
            allowed[q + i, k + j] = not form["causal"] or j <= i + m - n
    tiles = allowed.reshape(samples, queries, samples, keys)
    for a, b in itertools.permutations(range(samples), 2):
        assert not tiles[a, :, b].any(), "a sample sees another"
    return np.stack([tiles[a, :, a] for a in range(samples)])


def check_form(form, mask):
    """The arguments are well formed, and say what the mask says."""
    *batch, queries, keys = mask.shape
    samples = batch[0] if batch else 1
    for side, total in (("q", samples * queries), ("k", samples * keys)):
        ends = form[f"cu_seqlens_{side}"]
        assert (ends.dtype, ends[0], ends[-1]) == (np.int32, 0, total)
        assert (np.diff(ends) >= 0).all()
        assert form[f"max_seqlen_{side}"] == np.diff(ends).max()
    np.testing.assert_array_equal(read_back(form, samples, queries, keys), np.asarray(mask).reshape(-1, queries, keys))


# -- exact ------------------------------------------------------------------------------------------------------------

sizes = st.lists(st.integers(1, 5), min_size=1, max_size=5)


@given(sizes, st.booleans(), st.data())
def test_a_cut_of_packed_documents_is_exact(lengths, causal, data):
    """Any rows and any keys that lie in one piece, as chunks of a long prompt and shards are cut."""
    mask = maskkit.create("document", lengths=lengths)
    mask = mask & maskkit.create("causal", seq_len=sum(lengths)) if causal else mask
    ends = st.lists(st.integers(0, sum(lengths)), min_size=2, max_size=2, unique=True).map(sorted)
    rows, keys = slice(*data.draw(ends)), slice(*data.draw(ends))
    cut = mask[rows, keys.start : None if causal else keys.stop]  # causal rows that lose their last keys: see below
    check_form(cut.export("varlen", causal=causal), cut)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6))
def test_cross_attention_of_packed_documents_is_exact(pairs):
    """As many documents on both sides, of any lengths, also without queries or without keys."""
    lengths, key_lengths = (list(side) for side in zip(*pairs, strict=True))
    assume(sum(lengths) and sum(key_lengths))
    mask = maskkit.create("document", lengths=lengths, key_lengths=key_lengths)
    check_form(mask.export("varlen"), mask)


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4), st.booleans())
def test_a_batch_of_packed_rows_is_exact(ids, causal):
    """Flattened to one row; documents of different samples never meet, also where their ids are equal."""
    mask = maskkit.create("document", ids=np.sort(ids, axis=1))
    mask = mask & maskkit.create("causal", seq_len=6) if causal else mask
    check_form(mask.export("varlen", causal=causal), mask)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.booleans())
def test_padded_samples_are_exact(lengths, causal):
    """Padded keys are seen by nobody, and padded queries see nothing."""
    mask = maskkit.create("padding", valid=np.arange(6) < np.array(lengths)[:, None])
    mask = mask & maskkit.create("causal", seq_len=6) if causal else mask
    check_form(mask.export("varlen", causal=causal), mask)


def all_packed(queries, keys, causal):
    """The masks that any documents give: all choices of ends, each with as many as could be needed."""
    sides = [
        [
            np.array([0, *cuts, size])
            for cuts in itertools.combinations_with_replacement(range(size + 1), queries + keys)
        ]
        for size in (queries, keys)
    ]
    forms = (dict(cu_seqlens_q=q, cu_seqlens_k=k, causal=causal) for q, k in itertools.product(*sides))
    return {read_back(form, 1, queries, keys).tobytes() for form in forms}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 2), (2, 1), (2, 2), (3, 2), (2, 3)])
def test_a_mask_is_exported_exactly_where_any_documents_give_it(queries, keys, causal):
    """Every mask of a few tokens: exact or refused, and refused only where nothing would have been exact."""
    packed = all_packed(queries, keys, causal)
    for number in range(2 ** (queries * keys)):
        mask = Bits(bits=(number >> np.arange(queries * keys) & 1).astype(bool).reshape(queries, keys))
        if mask.bits.tobytes() in packed:
            check_form(mask.export("varlen", causal=causal), mask)
        else:
            with pytest.raises(maskkit.ConfigError, match=": row "):
                mask.export("varlen", causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("samples", [1, 3])
def test_random_intervals_are_exact_or_refused(samples, causal):
    """Larger masks, of which most are refused and some are not."""
    random, held = np.random.default_rng(samples), 0
    for _ in range(2000):
        queries, keys = random.integers(1, 6, 2)
        lo, hi = np.sort(random.integers(0, keys + 1, (2, samples, queries)), axis=0)
        if random.random() < 0.7:
            lo, hi = np.sort(lo), np.sort(hi)
        if causal:
            hi = np.minimum(lo[:, :1] + np.arange(queries) + random.integers(0, 3), keys)
        place = np.arange(keys)
        mask = Bits(bits=(place >= lo[..., None]) & (place < hi[..., None]))
        try:
            form = mask.export("varlen", causal=causal)
        except maskkit.ConfigError:
            continue
        check_form(form, mask)
        held += 1
    assert held > 100


# -- by hand ----------------------------------------------------------------------------------------------------------


def ends_of(form):
    return form["cu_seqlens_q"].tolist(), form["cu_seqlens_k"].tolist()


def test_a_chunk_of_a_packed_prompt_by_hand():
    """Rows 5 .. 9 of three documents: the second's last five queries, which see its six keys; others have no query."""
    mask = (maskkit.create("document", lengths=[4, 6, 5]) & maskkit.create("causal", seq_len=15))[5:10, :]
    form = mask.export("varlen", causal=True)
    assert ends_of(form) == ([0, 0, 5, 5], [0, 4, 10, 15])
    assert (form["max_seqlen_q"], form["max_seqlen_k"], form["causal"]) == (5, 6, True)
    assert ends_of(mask[:, 4:10].export("varlen", causal=True)) == ([0, 5], [0, 6])


def test_a_step_of_decoding_by_hand():
    """One query at the last of 7 keys, and four at the last four."""
    causal = maskkit.create("causal", seq_len=7)
    assert ends_of(causal[-1:, :].export("varlen", causal=True)) == ([0, 1], [0, 7])
    assert ends_of(causal[-4:, :].export("varlen", causal=True)) == ([0, 4], [0, 7])


def test_queries_before_the_first_key_see_nothing_by_hand():
    """Five queries over three keys, aligned to the bottom right: the first two are a document without keys."""
    mask = maskkit.create("causal", seq_len=5)[:, 2:]
    assert ends_of(mask.export("varlen", causal=True)) == ([0, 2, 5], [0, 0, 3])


def test_a_batch_of_packed_rows_by_hand():
    mask = maskkit.create("document", ids=[[0, 0, 1, 1], [0, 0, 0, 0]])
    assert ends_of(mask.export("varlen")) == ([0, 2, 4, 8], [0, 2, 4, 8])


def test_the_flag_is_whichever_the_mask_is():
    documents = maskkit.create("document", lengths=[3, 5])
    assert documents.export("varlen")["causal"] is False
    assert (documents & maskkit.create("causal", seq_len=8)).export("varlen")["causal"] is True


def test_square_documents_have_the_ends_of_cu_seqlens():
    mask = maskkit.create("document", lengths=[3, 0, 5])
    assert ends_of(mask.export("varlen")) == (mask.cu_seqlens().tolist(), mask.cu_seqlens().tolist())


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (
            maskkit.create("sliding_window", seq_len=6, window_size=3),
            "row 3 sees keys 1 .. 3, and row 2 sees keys 0 .. 2",
        ),
        (maskkit.create("causal", seq_len=6)[:, :4], "row 4 sees keys 0 .. 3, and row 3 sees keys 0 .. 3"),
        (
            maskkit.create("causal", seq_len=4) & maskkit.create("key_padding", lengths=[4, 2], seq_len=4),
            "row 2 of sample 1 sees keys 0 .. 1, and row 1 of sample 1 sees keys 0 .. 1",
        ),
        (
            maskkit.create("query_interaction", num_queries=3, interaction_type="cross"),
            "row 1 sees 2 intervals of keys",
        ),
        (maskkit.create("random", seq_len=8, seed=0), "it has no interval structure"),
    ],
)
def test_other_masks_are_refused_with_the_row(mask, problem):
    with pytest.raises(maskkit.ConfigError, match=f"is not made of packed documents.*{problem}"):
        mask.export("varlen", causal=True)


def test_heads_that_differ_are_refused():
    """The kernels have one set of documents for all heads."""
    heads = maskkit.stack([maskkit.create("document", lengths=lengths) for lengths in ([3, 5], [4, 4])], axis="head")
    with pytest.raises(maskkit.ConfigError, match="its heads have masks of their own; take one head"):
        heads.export("varlen")
    assert ends_of(heads[:1].export("varlen")) == ([0, 3, 8], [0, 3, 8])


def test_without_a_flag_both_reasons_are_given_once_each():
    mask = maskkit.create("sliding_window", seq_len=6, window_size=3)
    with pytest.raises(maskkit.ConfigError) as refusal:
        mask.export("varlen")
    assert "packed documents: row 1 sees keys 0 .. 1, and row 0 sees keys 0 .. 0;" in str(refusal.value)
    assert "packed documents that are causal inside: row 3 sees keys 1 .. 3" in str(refusal.value)
    assert str(refusal.value).count("use to_flex() or allowed()") == 1


# -- executed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        maskkit.create("document", lengths=[2, 5, 3], key_lengths=[4, 1, 6]),
        (maskkit.create("document", lengths=[4, 6, 5]) & maskkit.create("causal", seq_len=15))[5:10, :],
        maskkit.create("document", ids=[[0, 0, 1, 1], [3, 3, 3, 3]]) & maskkit.create("causal", seq_len=4),
    ],
    ids=["cross", "chunk", "batch"],
)
def test_attention_document_by_document_is_attention_under_the_mask(mask):
    """What a variable-length kernel does, with Torch's own attention for each document."""
    form, samples = mask.export("varlen"), mask.shape[0] if len(mask.shape) == 3 else 1
    queries, keys = mask.shape[-2:]
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(samples, 2, n, 8, generator=generator) for n in (queries, keys, keys))
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    flat = [x.transpose(0, 1).reshape(2, -1, 8) for x in (query, key, value)]
    out = torch.zeros_like(flat[0])
    ends = zip(form["cu_seqlens_q"].tolist(), form["cu_seqlens_k"].tolist(), strict=True)
    for (q, k), (q_end, k_end) in itertools.pairwise(ends):
        n, m = q_end - q, k_end - k
        if n and m:
            corner = torch.ones(n, m, dtype=torch.bool).tril(m - n) if form["causal"] else None
            parts = flat[0][:, q:q_end], flat[1][:, k:k_end], flat[2][:, k:k_end]
            out[:, q:q_end] = torch.nn.functional.scaled_dot_product_attention(*parts, attn_mask=corner)
    torch.testing.assert_close(out.reshape(2, samples, queries, 8).transpose(0, 1), whole)
