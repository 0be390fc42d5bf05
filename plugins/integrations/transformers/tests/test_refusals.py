"""What `use_mask` refuses, at once and with the reason."""

import pytest
import torch
import transformers as hf
import maskkit
from maskkit_transformers import use_mask


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"type": "sliding_window"}, "window_size required"),
        ("causl", "did you mean 'causal'"),
        ({"type": "global_local", "sliding_window": 3}, "gives several masks"),
        ("axial", "leaves height and width open, which a text has not"),
        ("axial & causal", "leaves height and width open, which a text has not"),
        ({"view": "causal", "slices": [[0, 1, 8], [0, 1, 8]]}, "is for 8 queries and 8 keys, but there are 9 and 9"),
        ("key_padding(lengths=[3, 5], seq_len=8) & causal", r"gives a mask of batch, query, key"),
        ({"sliding_attention": "causal"}, "template names 'sliding_attention'; this model has layers of 'full_att"),
        ({"full_attention": "causal", "cross": "causal"}, "template names 'cross'"),
        (["causal"], "template has 1 entries, and the model 2 layers"),
        (7, "mask must be a mask, its config or an expression, got 7"),
    ],
)
def test_bad_templates_are_refused_at_once(model_of, template, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        use_mask(model_of("llama"), template)


def test_masks_of_other_heads_are_refused(model_of):
    mask = maskkit.stack([maskkit.create("causal", seq_len=8)] * 3)
    with pytest.raises(maskkit.ConfigError, match="has 3 heads, and the layers of the model 4"):
        use_mask(model_of("llama"), mask)


def test_other_arguments_are_refused(model_of):
    with pytest.raises(maskkit.ConfigError, match="own must be one of 'combine', 'replace', got 'drop'"):
        use_mask(model_of("llama"), "causal", own="drop")
    with pytest.raises(maskkit.UnknownName, match="did you mean 'area'"):
        use_mask(model_of("llama"), "causal", kernel="aria")
    with pytest.raises(maskkit.ConfigError, match="model must be a PreTrainedModel of transformers, got Linear"):
        use_mask(torch.nn.Linear(2, 2), "causal")


@pytest.mark.parametrize("name", ["jamba", "falcon_h1"])
def test_hybrids_are_refused(name):
    """Their other layers mix tokens past any mask."""
    sizes = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    if name == "jamba":
        model = hf.JambaForCausalLM(
            hf.JambaConfig(**sizes, num_key_value_heads=2, attn_layer_period=2, attn_layer_offset=1, num_experts=2,
                           expert_layer_period=2, use_mamba_kernels=False, mamba_d_state=4)
        )  # fmt: skip
    else:
        model = hf.FalconH1ForCausalLM(
            hf.FalconH1Config(**sizes, num_key_value_heads=2, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8)
        )
    with pytest.raises(maskkit.ConfigError, match="mixes tokens in layers that are no attention"):
        use_mask(model, "causal")


SMALL = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hf.FNetModel(hf.FNetConfig(**SMALL)), "FNetModel has no self-attention"),
        (
            lambda: hf.DogeForCausalLM(hf.DogeConfig(**SMALL, num_key_value_heads=2)),
            "a DogeAttention, changes the mask that it is given before it attends",
        ),
        (
            lambda: hf.Lfm2ForCausalLM(
                hf.Lfm2Config(**SMALL, num_key_value_heads=2, layer_types=["conv", "full_attention"])
            ),
            "the model has layers of 'conv', where more than a mask says who sees whom",
        ),
        (
            lambda: hf.GPTNeoForCausalLM(
                hf.GPTNeoConfig(
                    vocab_size=50, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global"], 2]]
                )
            ),
            "a GPTNeoAttention, does not attend through AttentionInterface",
        ),
        (
            lambda: hf.EncoderDecoderModel(
                config=hf.EncoderDecoderConfig.from_encoder_decoder_configs(
                    hf.BertConfig(**SMALL), hf.BertConfig(**SMALL, is_decoder=True, add_cross_attention=True)
                )
            ),
            "does not say whether it is of an encoder, a decoder, or between them",
        ),
    ],
    ids=["no attention", "changes it", "convolution", "own way", "two models"],
)
def test_models_that_a_mask_cannot_be_laid_over_are_refused(make, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        use_mask(make(), "causal")


def test_a_model_whose_attention_cannot_be_set_is_refused(model_of, monkeypatch):
    """transformers itself only logs that it leaves it as it is."""
    model = model_of("llama")
    monkeypatch.setattr(type(model), "_can_set_attn_implementation", classmethod(lambda cls: False))
    with pytest.raises(maskkit.ConfigError, match=r"does not let the attention of model\.layers\.0\.self_attn be set"):
        use_mask(model, "causal")
