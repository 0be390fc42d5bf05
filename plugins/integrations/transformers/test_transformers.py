"""Models of transformers under our masks, against the models' own."""

import copy

import pytest
import torch
import maskkit
from maskkit_transformers import use_mask

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
    options = dict(max_new_tokens=8, do_sample=False, pad_token_id=0)
    model = use_mask(copy.deepcopy(llama), "causal")
    prompt = tokens[0][:1, :5]
    assert torch.equal(model.generate(prompt, **options), llama.generate(prompt, **options))


@torch.no_grad()
def test_the_mask_is_obeyed(llama, tokens):
    """Under a window of two, a token three layers of two windows away cannot be felt."""
    model = use_mask(copy.deepcopy(llama), {"type": "sliding_window", "window_size": 2})
    ids = tokens[0][:1].clone()
    before = model(ids).logits
    ids[0, 0] = (ids[0, 0] + 1) % 50
    after = model(ids).logits
    assert not torch.equal(before[0, 2], after[0, 2])
    assert torch.equal(before[0, 3:], after[0, 3:])


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"type": "sliding_window"}, "window_size required"),
        ("causl", "did you mean 'causal'"),
        ({"type": "global_local", "sliding_window": 3}, "gives several masks"),
        ("causal(seq_len=8)", "leaves no length open"),
        ("axial", "leaves height and width, which a text has not open"),
        ("axial & causal", "leaves height and width, which a text has not open"),
        ("causal(seq_len=8) & banded(band_width=3)", "leaves no length open"),
        ("causal & document(lengths=[4, 5])", "leaves no length open"),
        ({"view": "causal", "slices": [[0, 1, 8], [0, 1, 8]]}, "is for 8 queries and 8 keys, but there are 9 and 9"),
        ("key_padding(lengths=[3, 5]) & causal", r"gives a mask of batch, query, key"),
    ],
)
def test_bad_templates_are_refused_at_once(llama, template, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        use_mask(llama, template)


def test_an_implementation_that_is_none_is_refused(llama):
    with pytest.raises(maskkit.ConfigError, match="implementation must be one of 'eager', 'sdpa', 'flex', got 'flash'"):
        use_mask(llama, "causal", "flash")


def test_a_seed_is_drawn_once_and_saved(llama):
    """The random mask that trained a model is the one that it is loaded with."""
    model = use_mask(copy.deepcopy(llama), "causal & random(mask_probability=0.5)")
    saved = model.config.maskkit_mask
    assert isinstance(saved["and"][1]["seed"], int)
    assert use_mask(copy.deepcopy(llama), saved).config.maskkit_mask == saved


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@torch.no_grad()
def test_a_compiled_model_is_under_the_mask_too(llama, tokens, implementation):
    ids, real = tokens
    model = use_mask(copy.deepcopy(llama), "causal & sliding_window(window_size=4)", implementation)
    compiled = torch.compile(model, backend="eager")
    torch._dynamo.reset()
    for options in ({}, {"attention_mask": real}):
        torch.testing.assert_close(compiled(ids, **options).logits, model(ids, **options).logits)
