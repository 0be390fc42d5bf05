"""attn_implementation="maskkit" alone: models under their own masks, against their own eager attention."""

import pytest
import torch
import transformers as hf
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import masking_utils as theirs
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
import maskkit
import maskkit_transformers  # makes the implementation known
from maskkit_transformers import implementation

FAMILIES = (
    "llama", "mistral", "gemma2", "gemma3", "llama4", "qwen3", "gpt2", "gpt_oss", "modernbert", "bert", "bart", "t5",
    "llava", "paligemma", "gemma3_images",
)  # fmt: skip
DECODERS = FAMILIES[:8]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_logits_are_the_models_own(name, side, model_of, inputs_of, padded):
    real, inputs = padded(side), inputs_of(name)
    ours, own = (model_of(name, how)(**inputs, attention_mask=real).logits for how in ("maskkit", "eager"))
    tokens = real.bool() if real is not None and ours.shape[1] == 20 else slice(None)
    close(ours[tokens], own[tokens])


@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_packed_texts_do_not_see_each_other(name, model_of, inputs_of):
    """Each is as if it were alone: positions that begin again are all that says where."""
    ids = inputs_of(name)["input_ids"]
    lengths = [9, 4, 7]
    position = torch.cat([torch.arange(n) for n in lengths])[None]
    model = model_of(name, "maskkit")
    together = model(ids, position_ids=position.expand(2, -1), use_cache=False).logits
    alone = [model(part, use_cache=False).logits for part in ids.split(lengths, 1)]
    if name != "gpt_oss":  # it does not look for packs
        close(together, torch.cat(alone, 1))
    close(together, model_of(name)(ids, position_ids=position.expand(2, -1), use_cache=False).logits)


@pytest.mark.parametrize("name", [*DECODERS, "llava", "paligemma", "gemma3_images"])
def test_a_training_step_has_the_models_own_gradients(name, model_of, inputs_of, padded):
    grads = []
    for how in ("maskkit", "eager"):
        model, inputs = model_of(name, how), inputs_of(name)
        real = padded("right")
        labels = inputs["input_ids"].masked_fill(real == 0, -100)
        model(**inputs, attention_mask=real, labels=labels).loss.backward()
        grads.append({key: x.grad for key, x in model.named_parameters() if x.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for key, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][key], atol=1e-4 * float(grad.abs().max()) + 1e-7, rtol=0)


@pytest.mark.parametrize(
    ("name", "cache"),
    [(name, cache) for name in (*DECODERS, "bart", "t5", "gemma3_images") for cache in ("dynamic", "static", "none")]
    + [(name, "keeps all") for name in (*DECODERS, "gemma3_images")],
)
@torch.no_grad()
def test_generation_is_the_models_own(name, cache, model_of, inputs_of, padded):
    inputs = inputs_of(name, 12)
    inputs.pop("decoder_input_ids", None)
    options = {"dynamic": {}, "static": dict(cache_implementation="static"), "none": dict(use_cache=False)}
    found = []
    for how in ("maskkit", "eager"):
        more = dict(past_key_values=hf.DynamicCache()) if cache == "keeps all" else options[cache]
        found.append(
            model_of(name, how).generate(
                **inputs,
                **more,
                attention_mask=padded("left", 12),
                max_new_tokens=10,
                do_sample=False,
                eos_token_id=None,
                return_dict_in_generate=True,
                output_logits=True,
            )
        )
    assert torch.equal(found[0].sequences, found[1].sequences)
    close(torch.stack(found[0].logits), torch.stack(found[1].logits))


@pytest.fixture
def attended(monkeypatch):
    """The masks and options of the calls of `attend`."""
    seen = []

    def attend(query, key, value, mask, **options):
        seen.append((mask, options))
        return maskkit.attend(query, key, value, mask, **options)

    monkeypatch.setattr(implementation, "attend", attend)
    return seen


@torch.no_grad()
def test_masks_are_values_made_once_for_all_layers(model_of, inputs_of, attended):
    """Mistral's is a window by name; and one object serves the layers of a forward pass."""
    model_of("mistral", "maskkit")(**inputs_of("mistral"))
    first, second = (mask for mask, _ in attended)
    assert first is second == maskkit.create("sliding_window", seq_len=20, window_size=7)


@torch.no_grad()
def test_a_kernel_that_is_named_computes_single_queries_too(model_of, inputs_of, attended):
    model = maskkit_transformers.use_mask(model_of("llama"), "causal", kernel="area")
    model(inputs_of("llama", 1)["input_ids"])
    assert {options["kernel"] for _, options in attended} == {"area"}


@torch.no_grad()
def test_weights_are_dropped_in_training_alone(model_of, inputs_of, attended):
    for training in (True, False):
        model_of("gpt2", "maskkit").train(training)(**inputs_of("gpt2"))
    assert [options["dropout_p"] for _, options in attended] == [0.1, 0.1, 0.0, 0.0]


@torch.no_grad()
def test_equal_batches_are_planned_once(model_of, inputs_of, padded):
    """Neither the second layer nor the second forward pass asks kernels again."""
    asked = []

    @frozen(kw_only=True)
    class Asked(maskkit.find("dense", "kernel")):
        """Counts."""

        name = "asked"

        def fits(self, problem):
            asked.append(problem.mask)
            return super().fits(problem)

    with maskkit.register(Asked):
        model = maskkit_transformers.use_mask(model_of("llama"), "causal", kernel="asked")
        for _ in range(2):
            model(**inputs_of("llama"), attention_mask=padded("left"))
    assert len(asked) == 1


@pytest.mark.parametrize("form", ["booleans", "numbers", "a head each"])
@torch.no_grad()
def test_a_mask_of_four_axes_is_taken_as_it_is(form, model_of, inputs_of):
    allowed = torch.rand(2, 4 if form == "a head each" else 1, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.6
    allowed |= torch.eye(20, dtype=torch.bool)
    numbers = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
    ids = inputs_of("llama")["input_ids"]
    ours = model_of("llama", "maskkit")(ids, attention_mask=numbers if form == "numbers" else allowed).logits
    close(ours, model_of("llama")(ids, attention_mask=numbers).logits)


@torch.no_grad()
def test_a_bias_of_four_axes_is_added(model_of, inputs_of):
    bias = torch.randn(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    ids = inputs_of("llama")["input_ids"]
    close(*(model_of("llama", how)(ids, attention_mask=bias).logits for how in ("maskkit", "eager")))


@torch.no_grad()
def test_a_mask_that_is_the_same_for_all_queries_may_have_one(model_of, inputs_of, padded):
    ids, real = inputs_of("llama")["input_ids"], padded("right")[:, None, None].bool()
    ours = model_of("llama", "maskkit")(ids, attention_mask=real).logits
    close(ours, model_of("llama", "sdpa")(ids, attention_mask=real).logits)


@torch.no_grad()
def test_booleans_for_a_model_that_adds_its_mask_are_refused(model_of, inputs_of):
    ids = inputs_of("gemma2")["input_ids"]
    with pytest.raises(maskkit.ConfigError, match="which adds it to scores, has come as booleans"):
        model_of("gemma2", "maskkit")(ids, attention_mask=torch.ones(2, 1, 20, 20, dtype=torch.bool))


def test_code_that_adds_a_mask_gets_numbers_and_other_code_booleans():
    config = hf.LlamaConfig(hidden_size=8, num_attention_heads=1)
    made = {}
    for how in ("maskkit", "eager", "sdpa"):
        config._attn_implementation = how
        made[how] = theirs.create_causal_mask(config, torch.zeros(2, 5, 8), torch.tensor([[0, 1, 1, 1, 1]] * 2), None)
    scores = torch.randn(2, 3, 5, 5)
    assert torch.equal(scores + made["maskkit"], scores + made["eager"])
    assert torch.equal(scores.masked_fill(~made["maskkit"], -1), scores.masked_fill(~made["sdpa"], -1))
    assert torch.equal(made["maskkit"][:, :, :3, :3], made["sdpa"][:, :, :3, :3])


@torch.no_grad()
def test_attention_weights_are_given_where_they_are_asked_for(model_of, inputs_of):
    ours, own = (model_of("gpt2", how)(**inputs_of("gpt2"), output_attentions=True) for how in ("maskkit", "eager"))
    for a, b in zip(ours.attentions, own.attentions, strict=True):
        close(a, b)


def test_gradient_checkpointing_changes_nothing(model_of, inputs_of, padded):
    found = []
    for again in (False, True):
        model = model_of("mistral", "maskkit").train()
        if again:
            model.activation_checkpointing_enable()
        inputs = inputs_of("mistral")
        model(**inputs, attention_mask=padded("left"), labels=inputs["input_ids"], use_cache=False).loss.backward()
        found.append(model.model.embed_tokens.weight.grad)
    close(*found)


@torch.no_grad()
def test_a_compiled_model_gives_the_same(model_of, inputs_of, padded):
    torch._dynamo.reset()
    model = maskkit_transformers.use_mask(model_of("mistral"), "sink(window_size=3)")
    compiled = torch.compile(model.model, backend="eager")
    inputs = dict(inputs_of("mistral"), attention_mask=padded("left"), use_cache=False)
    close(compiled(**inputs).last_hidden_state, model.model(**inputs).last_hidden_state)


# -- what transformers asks for, beside its own booleans --------------------------------------------------------------


@st.composite
def asked(draw):
    """The function that makes a mask, and its arguments."""
    kind = draw(st.sampled_from(["causal", "sliding_window_causal", "chunked_causal", "bidirectional",
                                 "bidirectional_sliding_window"]))  # fmt: skip
    batch, length = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    size = draw(st.integers(1, 6))
    config = hf.LlamaConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1)
    config.sliding_window, config.attention_chunk_size = size, size
    given = dict(config=config, inputs_embeds=torch.zeros(batch, length, 8), attention_mask=None, past_key_values=None)
    causal = not kind.startswith("bidirectional")
    numbers = st.lists(st.integers(0, 3), min_size=length, max_size=length)
    rows = st.lists(numbers, min_size=batch, max_size=batch).map(torch.tensor)
    if draw(st.booleans()):
        given["attention_mask"] = (draw(rows) > 0).long()
    elif causal and draw(st.booleans()):
        jumps = draw(rows) == 0
        jumps[:, 0] = True
        index = torch.arange(length).expand(batch, -1)
        given["position_ids"] = index - torch.where(jumps, index, 0).cummax(1).values + draw(st.integers(0, 2))
    if causal and draw(st.booleans()):
        given["block_sequence_ids"] = draw(rows) - 1
    near = draw(st.integers(1, 4))
    if draw(st.booleans()):
        given["or_mask_function"] = draw(st.sampled_from(
            [theirs.blockwise_overlay(torch.arange(length + 3).expand(batch, -1) // 2), lambda b, h, q, k: k % 3 == 0]
        ))  # fmt: skip
    if draw(st.booleans()):
        given["and_mask_function"] = draw(st.sampled_from(
            [theirs.sliding_window_overlay(near), theirs.sliding_window_bidirectional_overlay(near),
             lambda b, h, q, k: (q + k) % 2 == 0]
        ))  # fmt: skip
    return getattr(theirs, f"create_{kind}_mask"), given


@settings(max_examples=150, deadline=None)
@given(asked())
def test_whatever_is_asked_for_is_what_transformers_itself_makes_of_it(call):
    make, arguments = call
    arguments["config"]._attn_implementation = "maskkit"
    ours = make(**arguments)
    with pytest.MonkeyPatch.context() as patch:  # its own, without leaving masks out
        patch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, "maskkit", _written_out)
        own = make(**arguments)
    rows = slice(None)
    real = arguments["attention_mask"]
    ours, own = ours.booleans().expand(own.shape), own
    if real is not None:  # what padding sees is of no use to anyone
        rows = real.bool()[:, None, :]
        ours, own = ours[rows], own[rows]
    assert torch.equal(ours, own)


def _written_out(**asked):
    return theirs.sdpa_mask(**{**asked, "allow_is_causal_skip": False, "allow_is_bidirectional_skip": False})
