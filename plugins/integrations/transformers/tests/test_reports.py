"""Small programs in which masks of such models have gone wrong elsewhere."""

import pytest
import torch
import transformers as hf
from transformers.masking_utils import create_causal_mask
from maskkit_transformers import use_mask


@pytest.mark.parametrize("template", ["causal", "sink(window_size=64)"])
@torch.no_grad()
def test_packed_texts_stay_apart_under_a_causal_template(template, model_of, inputs_of):
    ids = inputs_of("llama", 12)["input_ids"][:1]
    position = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4]])
    model = use_mask(model_of("llama"), template)
    alone = torch.cat([model(part, use_cache=False).logits for part in ids.split([4, 3, 5], 1)], 1)
    torch.testing.assert_close(model(ids, position_ids=position, use_cache=False).logits, alone, atol=1e-5, rtol=1e-5)


def test_images_of_gemma_3_see_themselves_whole():
    """Two of 3 and 2 tokens add 3 + 1 pairs to the causal ones."""
    config = hf.Gemma3TextConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    config._attn_implementation = "maskkit"
    image = torch.tensor([[-1, 0, 0, 0, -1, -1, 1, 1, -1, -1]])
    embeds, real = torch.zeros(1, 10, 32), torch.ones(1, 10, dtype=torch.long)
    asked = create_causal_mask(config, embeds, real, None, block_sequence_ids=image).request
    assert asked.mask(None, "combine", "").stats().allowed == 59


@pytest.mark.parametrize("own", ["combine", "replace"])
@torch.no_grad()
def test_images_keep_their_blocks_or_lose_them_as_own_says(own, model_of, inputs_of, oracle):
    """Under a template that sees ahead by two."""
    oracle.set(lambda q, k: k <= q + 2, own)
    inputs = inputs_of("paligemma")
    ours = use_mask(model_of("paligemma"), "~causal & banded(band_width=5) | causal", own=own)(**inputs).logits
    torch.testing.assert_close(ours, model_of("paligemma", "oracle")(**inputs).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("template", ["causal", "banded(band_width=5)"])
@torch.no_grad()
def test_a_template_of_a_decoder_leaves_its_encoder_alone(template, model_of, inputs_of):
    """The last token of the source reaches every token of the target, and no token of the target a later one."""
    model, inputs = use_mask(model_of("bart"), template), inputs_of("bart")
    before = model(**inputs).logits
    for name, reached in (("input_ids", range(9)), ("decoder_input_ids", [8])):
        other = dict(inputs, **{name: inputs[name].clone()})
        other[name][:, -1] = (inputs[name][:, -1] + 1) % 40 + 3
        moved = (model(**other).logits - before).abs().amax((0, 2))
        assert [i for i, by in enumerate(moved.tolist()) if by > 1e-4] == list(reached)


@pytest.mark.parametrize(
    "template",
    [
        "sliding_window(window_size=4)", "chunked(chunk_size=4)", "sink(window_size=3, num_sinks=2)",
        "block_causal(block_size=4)", "longformer(window_size=3)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["llama", "llama4"])
@torch.no_grad()
def test_padding_before_a_text_moves_nothing(name, template, model_of, inputs_of):
    """What counts from the first token counts from the first that is real."""
    ids = inputs_of(name, 10)["input_ids"]
    padded = torch.nn.functional.pad(ids, (3, 0))
    real = torch.nn.functional.pad(torch.ones_like(ids), (3, 0))
    position = (real.cumsum(1) - 1).clamp(min=0)
    model = use_mask(model_of(name), template)
    found = model(padded, attention_mask=real, position_ids=position).logits[:, 3:]
    torch.testing.assert_close(found, model(ids).logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_window_layers_of_gemma_2_are_not_widened(model_of, inputs_of):
    """A causal template changes nothing that is causal already."""
    inputs = inputs_of("gemma2")
    assert torch.equal(use_mask(model_of("gemma2"), "causal")(**inputs).logits, model_of("gemma2")(**inputs).logits)


@pytest.mark.parametrize("name", ["t5", "llava"])
@torch.no_grad()
def test_copied_and_nested_configs_know_the_mask(name, model_of, inputs_of):
    model = use_mask(model_of(name), "sliding_window(window_size=2)")
    inputs = inputs_of(name)
    assert not torch.allclose(model(**inputs).logits, model_of(name)(**inputs).logits)
