"""Exports, each against the framework itself."""

import copy
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel,
    splash_attention_mask,
    splash_attention_mask_info,
)
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


# -- splash -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", ["causal", "sliding_window(window_size=100)", "sink(window_size=70)"])
def test_splash_reads_the_same_blocks(expression):
    """What splash attention prepares from our object is what it prepares from the dense array."""
    mask = maskkit.parse(expression, seq_len=512)
    ours, dense = mask.export("splash"), splash_attention_mask.NumpyMask(np.asarray(mask))
    assert ours == mask.export("splash")
    assert hash(ours) == hash(mask.export("splash"))
    infos = [
        splash_attention_mask_info._process_mask(
            splash_attention_mask.MultiHeadMask([one]), (128, 128), is_dkv=False, head_shards=1, q_seq_shards=1
        )[0]
        for one in (ours, dense)
    ]
    for name in ("data_next", "mask_next", "block_mask", "partial_mask_blocks"):
        np.testing.assert_array_equal(getattr(infos[0], name), getattr(infos[1], name), err_msg=name)


def test_splash_attention_runs_with_it():
    """In interpret mode, for there is no TPU here."""
    mask = maskkit.create("sliding_window", seq_len=256, window_size=50)
    heads = splash_attention_mask.MultiHeadMask([mask.export("splash")] * 2)
    attend = splash_attention_kernel.make_splash_mha(heads, head_shards=1, q_seq_shards=1, interpret=True)
    query, key, value = np.random.default_rng(0).normal(size=(3, 2, 256, 128)).astype(np.float32)
    out = attend(jnp.asarray(query), jnp.asarray(key), jnp.asarray(value))
    scores = np.where(mask, query @ key.transpose(0, 2, 1), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ value
    np.testing.assert_allclose(np.asarray(jax.device_get(out)), expected, atol=2e-3)


def test_splash_refuses_what_it_leaves_undefined():
    mask = maskkit.parse("causal & ~banded(band_width=3)", seq_len=16)
    with pytest.raises(maskkit.ConfigError, match="2 rows that allow nothing"):
        mask.export("splash")


def test_unknown_forms_are_refused():
    with pytest.raises(maskkit.ConfigError, match=r"unknown form 'splsh'.*did you mean 'splash'"):
        maskkit.create("causal", seq_len=4).export("splsh")


# -- transformers -----------------------------------------------------------------------------------------------------

SIZES = dict(
    vocab_size=50,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
)


@pytest.fixture(scope="module")
def tokens():
    ids = torch.randint(0, 50, (2, 40), generator=torch.Generator().manual_seed(0))
    real = torch.ones(2, 40, dtype=torch.long)
    real[1, 30:] = 0
    return ids, real


@pytest.fixture(scope="module")
def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


@pytest.fixture
def static_shapes():
    """Torch 2.13 miscompiles FlexAttention for the CPU when many sizes are unknown; here each is compiled alone."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(automatic_dynamic_shapes=False):
        yield


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("static_shapes")
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex"])
@torch.no_grad()
def test_a_decoder_under_our_causal_mask_is_the_decoder(llama, tokens, implementation):
    """Logits of a small random Llama equal those under its own mask, with and without padding."""
    from maskkit_transformers import use_mask

    ids, real = tokens
    model = use_mask(copy.deepcopy(llama), "causal", implementation)
    torch.testing.assert_close(model(ids).logits, llama(ids).logits, atol=1e-6, rtol=1e-5)
    ours, theirs = (m(ids, attention_mask=real).logits[real.bool()] for m in (model, llama))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("static_shapes")
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex"])
@torch.no_grad()
def test_a_sliding_window_is_the_models_own(tokens, implementation, tmp_path):
    from transformers import MistralConfig, MistralForCausalLM
    from maskkit_transformers import use_mask

    torch.manual_seed(0)
    mistral = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=7)).eval()
    template = {"type": "sliding_window", "window_size": 7}
    model = use_mask(copy.deepcopy(mistral), template, implementation)
    torch.testing.assert_close(model(tokens[0]).logits, mistral(tokens[0]).logits, atol=1e-6, rtol=1e-5)
    model.config.save_pretrained(tmp_path)
    assert MistralConfig.from_pretrained(tmp_path).maskkit_mask == template


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_generation_with_a_kv_cache_uses_the_rows_at_hand(llama, tokens):
    from maskkit_transformers import use_mask

    options = dict(max_new_tokens=8, do_sample=False, pad_token_id=0)
    model = use_mask(copy.deepcopy(llama), "causal")
    prompt = tokens[0][:1, :5]
    assert torch.equal(model.generate(prompt, **options), llama.generate(prompt, **options))


@torch.no_grad()
def test_the_mask_is_obeyed(llama, tokens):
    """Under a window of two, a token three layers of two windows away cannot be felt."""
    from maskkit_transformers import use_mask

    model = use_mask(copy.deepcopy(llama), {"type": "sliding_window", "window_size": 2})
    ids = tokens[0][:1].clone()
    before = model(ids).logits
    ids[0, 0] = (ids[0, 0] + 1) % 50
    after = model(ids).logits
    assert not torch.equal(before[0, 2], after[0, 2])
    assert torch.equal(before[0, 3:], after[0, 3:])


def test_bad_templates_are_refused_at_once(llama):
    from maskkit_transformers import use_mask

    for template, words in (
        ({"type": "sliding_window"}, "window_size required"),
        ("causl", "did you mean 'causal'"),
        ({"type": "global_local", "sliding_window": 3}, "does not give one mask"),
    ):
        with pytest.raises(maskkit.ConfigError, match=words):
            use_mask(llama, template)
    with pytest.raises(maskkit.ConfigError, match="implementation must be one of 'eager', 'sdpa', 'flex', got 'flash'"):
        use_mask(llama, "causal", "flash")
