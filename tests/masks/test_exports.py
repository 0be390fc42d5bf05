"""Exports, each against the framework itself."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
import maskkit
from maskkit.masks.exports.fits import NoFit

ARRAYS = [
    f"{full}{side}_{part}" for full in ("", "full_") for side in ("kv", "q") for part in ("num_blocks", "indices")
]


def assert_equal_block_masks(ours, theirs):
    for name in ARRAYS:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert (a.dtype, a.shape, a.is_contiguous()) == (b.dtype, b.shape, b.is_contiguous()), name
        assert torch.equal(a, b), name
    assert ours.seq_lengths == theirs.seq_lengths
    assert ours.BLOCK_SIZE == theirs.BLOCK_SIZE


def torchs_own(mask, block_size, mask_mod=None):
    batch = mask.shape[0] if len(mask.shape) == 3 else None
    return create_block_mask(
        mask_mod or mask.mask_mod(), batch, None, *mask.shape[-2:], device="cpu", BLOCK_SIZE=block_size
    )


# -- FlexAttention ----------------------------------------------------------------------------------------------------

EXPRESSIONS = [
    "causal",
    "sliding_window(window_size=30)",
    "causal & ~banded(band_width=9)",
    "~causal",
    "sink(window_size=17)",
    "random(seed=2, mask_probability=0.999)",
    "strided(stride=20)",
    "bigbird(block_size=16, seed=3)",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("seq_len", [1, 64, 100, 300])
def test_to_flex_equals_torch_in_every_array(expression, seq_len):
    """From the exported predicate, and from the mask's own."""
    mask = maskkit.parse(expression, seq_len=seq_len)
    for block_size in (16, 128):
        ours = mask.to_flex(block_size)
        assert_equal_block_masks(ours, torchs_own(mask, block_size))
        assert_equal_block_masks(ours, torchs_own(mask, block_size, lambda b, h, q, kv: mask.allows(q, kv)))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_tables_too_large_for_an_array_are_equal_too(expression, monkeypatch):
    monkeypatch.setattr("maskkit.masks.exports.flex._SMALL_TABLE", 0)
    mask = maskkit.parse(expression, seq_len=100)
    assert_equal_block_masks(mask.to_flex(4), torchs_own(mask, 4))


@pytest.mark.parametrize("expression", ["causal", "sliding_window(window_size=256)", "sink(window_size=1000)"])
def test_to_flex_equals_torch_at_4096(expression):
    mask = maskkit.parse(expression, seq_len=4096)
    assert_equal_block_masks(mask.to_flex(), torchs_own(mask, 128))


def test_to_flex_of_a_batch_and_of_views():
    padding = maskkit.create("padding", padding_mask=np.arange(50) >= np.array([[50], [20], [0]]))
    mask = padding & maskkit.create("causal", seq_len=50)
    for cut in (mask, mask[:, 10:, :], mask[1:2], mask[0], maskkit.create("causal", seq_len=50)[-7:, ::2]):
        assert_equal_block_masks(cut.to_flex(16), torchs_own(cut, 16))


@pytest.mark.parametrize(
    "expression", ["causal", "sliding_window(window_size=30)", "random(seed=2)", "sink(window_size=9)"]
)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_equals_dense_attention(expression):
    mask = maskkit.parse(expression, seq_len=200)
    query, key, value = torch.randn(3, 1, 2, 200, 16, generator=torch.Generator().manual_seed(0))
    out = flex_attention(query, key, value, block_mask=mask.to_flex())
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(out, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_masks_and_lengths_compile_nothing_new():
    """One compilation for a number of intervals, one more when the length turns out to vary; then 0 new graphs."""
    counters = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    counters.clear()
    attend = torch.compile(flex_attention)

    def new_graphs(expression, seq_len):
        before = counters["unique_graphs"]
        mask = maskkit.parse(expression, seq_len=seq_len)
        query, key, value = torch.randn(3, 1, 1, seq_len, 16, generator=torch.Generator().manual_seed(0))
        out = attend(query, key, value, block_mask=mask.to_flex())
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        torch.testing.assert_close(out, expected)
        return counters["unique_graphs"] - before

    assert new_graphs("causal", 256) == 1
    assert new_graphs("sliding_window(window_size=30)", 256) == 0
    assert new_graphs("block_diagonal(block_size=100)", 256) == 0
    assert new_graphs("causal", 384) == 1
    for expression, length in (("banded(band_width=9)", 512), ("causal", 200), ("sliding_window(window_size=7)", 1000)):
        assert new_graphs(expression, length) == 0


@pytest.mark.parametrize(
    "mask",
    [
        maskkit.from_array(np.stack([np.tri(24, dtype=bool)] * 3), true="allowed", axes=("batch", "query", "key")),
        maskkit.create("document", ids=np.arange(24) % 3),
        maskkit.create("document", ids=np.r_[np.arange(24) // 12, np.arange(24) // 8])[:24, 24:],
        maskkit.create("document", ids=np.array([[0] * 9 + [1] * 15])),
        maskkit.create("key_padding", lengths=[3, 24], seq_len=24)[1:2],
        maskkit.create("tree", parents=[-1, *(i // 2 for i in range(23))]),
        maskkit.create(
            "longformer", seq_len=24, window_size=3, global_tokens=np.arange(24) % np.array([[7], [5], [3]]) == 0
        ),
    ],
    ids=lambda mask: f"{type(mask).__name__}-{'x'.join(map(str, mask.shape))}",
)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_masks_that_hold_arrays_run_in_flex_attention(mask, compiled):
    """Arrays of NumPy are looked up in what Torch traces, a batch of one serves all; eager, and as one graph."""
    torch._dynamo.reset()
    attend = torch.compile(flex_attention, backend="eager", fullgraph=True) if compiled else flex_attention
    query = torch.randn(3, 2, 24, 16, generator=torch.Generator().manual_seed(0))
    out = attend(query, query, query, block_mask=mask.to_flex())
    expected = torch.nn.functional.scaled_dot_product_attention(query, query, query, attn_mask=mask)
    torch.testing.assert_close(out, expected)


def test_mask_mod_is_a_plain_function_of_four():
    """Torch counts the positional arguments of the code object."""
    for expression in ("causal", "sink(window_size=5)", "random(seed=1)"):
        assert maskkit.parse(expression, seq_len=8).mask_mod().__code__.co_argcount == 4


# -- cheap forms ------------------------------------------------------------------------------------------------------


def test_cu_seqlens_of_documents():
    lengths = [3, 1, 5, 7]
    documents = maskkit.create("document", lengths=lengths)
    causal = documents & maskkit.create("causal", seq_len=16)
    assert documents.cu_seqlens().tolist() == [0, 3, 4, 9, 16]
    assert documents.cu_seqlens().dtype == np.int32
    assert causal.cu_seqlens(causal=True).tolist() == [0, 3, 4, 9, 16]
    assert maskkit.create("block_diagonal", seq_len=10, block_size=4).cu_seqlens().tolist() == [0, 4, 8, 10]
    with pytest.raises(maskkit.ConfigError, match=r"row 0 sees keys 0 .. 0, not 0 .. 2"):
        causal.cu_seqlens()
    with pytest.raises(maskkit.ConfigError, match="no interval structure"):
        maskkit.create("random", seq_len=8, seed=0).cu_seqlens()


@pytest.mark.parametrize("causal", [False, True])
def test_varlen_attention_over_a_pack_equals_attention_over_its_documents(causal):
    mask = maskkit.create("document", lengths=[5, 1, 9, 17])
    mask = mask & maskkit.create("causal", seq_len=32) if causal else mask
    form = mask.export("varlen", causal=causal)
    assert form["max_seqlen_q"] == form["max_seqlen_k"] == 17
    assert np.diff(form["cu_seqlens_q"]).tolist() == [5, 1, 9, 17]  # what xFormers' `from_seqlens` takes
    query, key, value = torch.randn(3, 1, 2, 32, 8, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    for start, stop in itertools.pairwise(form["cu_seqlens_q"].tolist()):
        parts = (x[:, :, start:stop] for x in (query, key, value))
        alone = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=form["causal"])
        torch.testing.assert_close(whole[:, :, start:stop], alone)


@pytest.mark.parametrize(
    ("expression", "form", "value"),
    [
        ("causal", "is_causal", True),
        ("causal", "window", (-1, 0)),
        ("sliding_window(window_size=5)", "window", (4, 0)),
        ("banded(band_width=7)", "window", (3, 3)),
        ("~causal", "window", None),
        ("sliding_window(window_size=5)", "is_causal", None),
        ("sink(window_size=5)", "window", None),
        ("causal & block_diagonal(block_size=8)", "window", None),
        ("random(seed=1)", "flex", True),
    ],
)
def test_fits_says_which_forms_a_mask_has_and_why_not(expression, form, value):
    found = maskkit.parse(expression, seq_len=20).fits()[form]
    if value is None:
        assert isinstance(found, NoFit)
        assert not found
        assert len(found.why) > 20
    else:
        assert found == value


def test_windows_mean_what_flash_attention_means():
    """(left, right): keys q - left .. q + right."""
    for expression in (
        "sliding_window(window_size=3)",
        "banded(band_width=5)",
        "causal",
        "sliding_window(window_size=99)",
    ):
        mask = maskkit.parse(expression, seq_len=12)
        left, right = mask.fits()["window"]
        q, k = np.arange(12)[:, None], np.arange(12)[None, :]
        expected = ((k >= q - left) | (left < 0)) & ((k <= q + right) | (right < 0))
        np.testing.assert_array_equal(mask, expected)


# -- names ----------------------------------------------------------------------------------------------------------


def test_unknown_forms_are_refused():
    with pytest.raises(maskkit.ConfigError, match=r"unknown form 'splsh'.*did you mean 'splash'"):
        maskkit.create("causal", seq_len=4).export("splsh")
