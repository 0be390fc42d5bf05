"""Tiny random models of many families, their inputs, and attention under a mask written out by hand."""

import copy
import sys
from functools import lru_cache

import pytest
import torch
import transformers as hf
from transformers import AttentionInterface, AttentionMaskInterface
from transformers import masking_utils as theirs

hf.logging.set_verbosity_error()

IMAGE = 49
"""The token that stands for a part of an image."""
SIZES = dict(
    vocab_size=50,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=128,
    initializer_range=0.3,
    pad_token_id=0,
)
TEXT = dict(SIZES, num_key_value_heads=2, bos_token_id=1, eos_token_id=2)
VISION = dict(
    hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4
)
WINDOWS = dict(head_dim=8, sliding_window=7)
GEMMA3 = dict(TEXT, **WINDOWS, query_pre_attn_scalar=4, layer_types=["sliding_attention", "full_attention"])


def _llava():
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION), text_config=hf.LlamaConfig(**TEXT), image_token_index=IMAGE
    )
    return hf.LlavaForConditionalGeneration(config)


def _paligemma():
    config = hf.PaliGemmaConfig(
        vision_config=hf.SiglipVisionConfig(**VISION, projection_dim=32),
        text_config=hf.GemmaConfig(**TEXT, head_dim=8),
        image_token_index=IMAGE,
        projection_dim=32,
        hidden_size=32,
    )
    return hf.PaliGemmaForConditionalGeneration(config)


def _gemma3_with_images():
    config = hf.Gemma3Config(
        vision_config=hf.SiglipVisionConfig(**VISION),
        text_config=hf.Gemma3TextConfig(**GEMMA3),
        mm_tokens_per_image=4,
        image_token_index=IMAGE,
        boi_token_index=47,
        eoi_token_index=48,
    )
    return hf.Gemma3ForConditionalGeneration(config)


def _llama4():
    config = hf.Llama4TextConfig(
        **TEXT,
        head_dim=8,
        intermediate_size_mlp=48,
        num_local_experts=2,
        attention_chunk_size=6,
        layer_types=["chunked_attention", "full_attention"],
        no_rope_layers=[1, 0],
    )
    return hf.Llama4ForCausalLM(config)


def _bart():
    config = hf.BartConfig(
        vocab_size=50,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=128,
        init_std=0.3,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    return hf.BartForConditionalGeneration(config)


def _t5():
    config = hf.T5Config(
        vocab_size=50, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=0, decoder_start_token_id=0
    )
    return hf.T5ForConditionalGeneration(config)


def _gpt2():
    sizes = dict(n_embd=32, n_layer=2, n_head=4, n_positions=128)
    return hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=50, initializer_range=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=2, **sizes)
    )


MODELS = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**TEXT)),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**TEXT, sliding_window=7)),
    "gemma2": lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**TEXT, **WINDOWS, query_pre_attn_scalar=8)),
    "gemma3": lambda: hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**GEMMA3)),
    "llama4": _llama4,
    "qwen3": lambda: hf.Qwen3ForCausalLM(
        hf.Qwen3Config(**TEXT, **WINDOWS, use_sliding_window=True, max_window_layers=1)
    ),
    "gpt2": _gpt2,
    "gpt_oss": lambda: hf.GptOssForCausalLM(
        hf.GptOssConfig(**TEXT, **WINDOWS, num_local_experts=2, num_experts_per_tok=1)
    ),
    "modernbert": lambda: hf.ModernBertForMaskedLM(
        hf.ModernBertConfig(**SIZES, local_attention=6, global_attn_every_n_layers=2, initializer_cutoff_factor=2.0)
    ),
    "bert": lambda: hf.BertForMaskedLM(hf.BertConfig(**SIZES)),
    "bart": _bart,
    "t5": _t5,
    "llava": _llava,
    "paligemma": _paligemma,
    "gemma3_images": _gemma3_with_images,
}
SIDED = ("bart", "t5")
IMAGES = ("llava", "paligemma", "gemma3_images")
DECODERS = ("llama", "mistral", "gemma2", "gemma3", "llama4", "qwen3", "gpt2", "gpt_oss")


@lru_cache(maxsize=32)
def _made(name):
    torch.manual_seed(0)
    return MODELS[name]().eval()


@pytest.fixture(scope="session")
def model_of():
    """`model_of(name, implementation)`: a model of its own, equal to all others of that name."""

    def model(name, implementation="eager"):
        made = copy.deepcopy(_made(name))
        made.set_attn_implementation(implementation)
        return made

    return model


@pytest.fixture(scope="session")
def inputs_of():
    """`inputs_of(name, length)`: what a model takes, two samples."""

    def inputs(name, length=20):
        ids = torch.randint(3, 46, (2, 40), generator=torch.Generator().manual_seed(1))[:, :length].clone()
        given = {"input_ids": ids}
        if name in SIDED:
            given["decoder_input_ids"] = ids[:, :9].flip(1)
        if name in IMAGES:
            ids[:, 6:10] = IMAGE
            given["pixel_values"] = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
            if name != "llava":
                given["token_type_ids"] = (ids == IMAGE).long()
        return given

    return inputs


def padding(side, length=20):
    """An attention mask whose second sample is padded by five tokens on a side; None without one."""
    real = torch.ones(2, length, dtype=torch.long)
    if side == "left":
        real[1, :5] = 0
    elif side == "right":
        real[1, -5:] = 0
    return None if side == "none" else real


@pytest.fixture(scope="session")
def padded():
    return padding


# -- the oracle: eager attention under a mask that is written out ------------------------------------------------------


class Oracle:
    """What the implementation "oracle" lays over the masks that models ask for, and how."""

    def __init__(self):
        self.set(None)

    def set(self, formula, own="combine", kinds=("causal", "bidirectional"), position=None):
        self.formula, self.own, self.kinds, self.position = formula, own, kinds, position

    def mask(self, batch_size, q_length, kv_length, q_offset, kv_offset, mask_function, attention_mask, dtype, **more):
        own = theirs.sdpa_mask(
            batch_size, q_length, kv_length, q_offset, kv_offset, mask_function, attention_mask,
            allow_is_causal_skip=False, use_vmap=more["use_vmap"],
        )  # fmt: skip
        kind = "bidirectional" if mask_function is theirs.bidirectional_mask_function else "causal"
        if self.formula is not None and kind in self.kinds:
            tokens = kv_offset + kv_length
            real = torch.ones(batch_size, tokens, dtype=torch.bool)
            if attention_mask is not None:
                real = torch.nn.functional.pad(attention_mask, (0, max(0, tokens - attention_mask.shape[1])))
            place = real.cumsum(1) - 1 if self.position is None else self.position
            queries, keys = place[:, q_offset : q_offset + q_length, None], place[:, None, kv_offset:tokens]
            seen = own if self.own == "combine" else real[:, None, None, kv_offset:tokens]
            own = self.formula(queries, keys)[:, None] & seen
        return torch.where(own, 0.0, torch.finfo(dtype).min)


def _eager(module, *args, **kwargs):
    return sys.modules[type(module).__module__].eager_attention_forward(module, *args, **kwargs)


@pytest.fixture(scope="session")
def _oracle():
    found = Oracle()
    AttentionInterface.register("oracle", _eager)
    AttentionMaskInterface.register("oracle", lambda **asked: found.mask(**asked))
    return found


@pytest.fixture
def oracle(_oracle):
    """The implementation "oracle" is known, and this says what it does."""
    yield _oracle
    _oracle.set(None)
