"""`use_mask`: models under a template, against eager attention under the same mask written out by hand."""

from contextlib import nullcontext

import pytest
import torch
import transformers as hf
import maskkit
from maskkit_transformers import use_mask

FAMILIES = (
    "llama", "mistral", "gemma2", "gemma3", "llama4", "qwen3", "gpt2", "gpt_oss", "modernbert", "bert", "bart", "t5",
    "llava", "paligemma", "gemma3_images",
)  # fmt: skip
SIDED = ("bart", "t5")
SINK = "sink(window_size=3, num_sinks=2)"
BANDED = "banded(band_width=5)"


def sink(q, k):
    return (k <= q) & ((k < 2) | (k > q - 3))


def banded(q, k):
    return abs(q - k) <= 2


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("template", "formula", "own", "side"),
    [
        (SINK, sink, "combine", "none"),
        (SINK, sink, "combine", "left"),
        (SINK, sink, "replace", "right"),
        (BANDED, banded, "combine", "left"),
        (BANDED, banded, "replace", "left"),
    ],
)
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_a_template_lies_over_the_text(name, template, formula, side, own, model_of, inputs_of, padded, oracle):
    """Over the decoder of a model that has an encoder too; positions count from the first token that is no padding."""
    oracle.set(formula, own, ("causal",) if name in SIDED else ("causal", "bidirectional"))
    real, inputs = padded(side), inputs_of(name)
    ours = use_mask(model_of(name), template, own=own)(**inputs, attention_mask=real).logits
    written = model_of(name, "oracle")(**inputs, attention_mask=real).logits
    tokens = real.bool() if real is not None and ours.shape[1] == 20 else slice(None)
    close(ours[tokens], written[tokens])


@pytest.mark.parametrize("template", [SINK, BANDED, "chunked(chunk_size=3)", "block_causal(block_size=4)"])
@pytest.mark.parametrize("own", ["combine", "replace"])
@pytest.mark.parametrize("name", ["llama", "mistral", "llama4", "gemma3"])
@torch.no_grad()
def test_each_packed_text_is_under_the_template_alone(name, own, template, model_of, inputs_of):
    ids = inputs_of(name)["input_ids"]
    model = use_mask(model_of(name), template, own=own)
    lengths = [9, 4, 7]
    position = torch.cat([torch.arange(n) for n in lengths]).expand(2, -1)
    alone = [model(part, use_cache=False).logits for part in ids.split(lengths, 1)]
    close(model(ids, position_ids=position, use_cache=False).logits, torch.cat(alone, 1))


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3", "llama4", "bert", "bart", "llava", "gemma3_images"])
@torch.no_grad()
def test_masks_stay_intervals(name, model_of, inputs_of, padded):
    """The kernel whose cost follows their area takes them: padded, packed, and with blocks of images."""
    calls = [dict(inputs_of(name), attention_mask=padded("left"))]
    if name in ("llama", "mistral", "gemma3", "llama4"):
        packed = torch.cat([torch.arange(9), torch.arange(11)]).expand(2, -1)
        calls.append(dict(inputs_of(name), position_ids=packed, use_cache=False))
    for inputs in calls:
        close(*(use_mask(model_of(name), SINK, kernel=kernel)(**inputs).logits for kernel in ("area", "dense")))


@torch.no_grad()
def test_padding_between_tokens_is_no_distance(model_of, inputs_of, oracle):
    oracle.set(sink)
    real = torch.ones(2, 20, dtype=torch.long)
    real[0, 4:7] = real[1, 0] = real[1, 11] = 0
    inputs = dict(inputs_of("llama"), attention_mask=real)
    close(
        use_mask(model_of("llama"), SINK)(**inputs).logits[real.bool()],
        model_of("llama", "oracle")(**inputs).logits[real.bool()],
    )


# -- which layers -----------------------------------------------------------------------------------------------------


def outputs(model, ids):
    """What each attention gives, by layer."""
    found = []
    hooks = [layer.self_attn.register_forward_hook(lambda m, i, o: found.append(o[0])) for layer in model.model.layers]
    model(ids)
    for hook in hooks:
        hook.remove()
    return found


def moved(model, ids, token):
    """Which outputs of the first layer's attention depend on a token."""
    other = ids.clone()
    other[:, token] = (ids[:, token] + 1) % 40
    a, b = (outputs(model, x)[0] for x in (ids, other))
    return [i for i in range(ids.shape[1]) if not torch.allclose(a[:, i], b[:, i], atol=1e-7)]


@pytest.mark.parametrize(
    "template", [{"sliding_attention": "sliding_window(window_size=2)"}, ["sliding_window(window_size=2)", None]]
)
@torch.no_grad()
def test_layers_that_are_not_named_keep_the_models_own_mask(template, model_of, inputs_of):
    ids = inputs_of("gemma3", 8)["input_ids"]
    model = use_mask(model_of("gemma3"), template)
    assert moved(model, ids, 2) == [2, 3]
    full = use_mask(model_of("gemma3"), {"full_attention": "sliding_window(window_size=2)"})
    assert moved(full, ids, 0) == [0, 1, 2, 3, 4, 5, 6]
    assert not torch.allclose(model(ids).logits, full(ids).logits)


@torch.no_grad()
def test_each_head_may_have_a_mask_of_its_own(model_of, inputs_of):
    near, far = (maskkit.parse(text, seq_len=64) for text in ("sliding_window(window_size=1)", "causal"))
    mask = maskkit.stack([near, far, near, near])
    model, own = use_mask(model_of("llama"), mask), model_of("llama")
    ids = inputs_of("llama")["input_ids"]
    found = {}
    for name, one in (("ours", model), ("own", own)):
        heads = one.model.layers[0].self_attn.o_proj.register_forward_pre_hook(
            lambda m, given, name=name: found.__setitem__(name, given[0].unflatten(-1, (4, 8)))
        )
        one(ids)
        heads.remove()
    close(found["ours"][:, :, 1], found["own"][:, :, 1])
    assert not torch.allclose(found["ours"][:, 1:, 0], found["own"][:, 1:, 0])


@pytest.mark.parametrize("name", SIDED)
@torch.no_grad()
def test_encoder_and_cross_attention_have_templates_of_their_own(name, model_of, inputs_of, padded, oracle):
    oracle.set(banded, kinds=("bidirectional",))
    inputs = dict(inputs_of(name), attention_mask=padded("right"))
    ours = use_mask(model_of(name), {"encoder": BANDED, "cross": BANDED})
    close(ours(**inputs).logits, model_of(name, "oracle")(**inputs).logits)


@pytest.mark.parametrize("name", SIDED)
@torch.no_grad()
def test_cross_attention_with_a_cache_counts_the_queries_that_it_has_seen(name, model_of, inputs_of):
    inputs = inputs_of(name)
    inputs.pop("decoder_input_ids")
    model = use_mask(model_of(name), {"cross": BANDED, "full_attention": SINK})
    options = dict(do_sample=False, max_new_tokens=8, eos_token_id=None, min_new_tokens=8)
    steps, whole = (model.generate(**inputs, **options, use_cache=cached) for cached in (True, False))
    assert torch.equal(steps, whole)


def test_packed_or_padded_the_gradients_are_those_of_the_texts_alone(model_of, inputs_of):
    ids = inputs_of("llama")["input_ids"][:1]
    grads = []
    for packed in (True, False):
        model = use_mask(model_of("llama"), SINK)
        position = torch.cat([torch.arange(9), torch.arange(11)])[None]
        parts = [(ids, position)] if packed else [(ids[:, :9], None), (ids[:, 9:], None)]
        sum(model(x, position_ids=p, use_cache=False).logits.square().sum() for x, p in parts).backward()
        grads.append(model.model.embed_tokens.weight.grad)
    torch.testing.assert_close(*grads, atol=1e-3, rtol=1e-4)


# -- lengths and caches -----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_mask_of_its_own_length_serves_texts_up_to_it(model_of, inputs_of):
    ids = inputs_of("llama")["input_ids"]
    fixed, open_ = (use_mask(model_of("llama"), text) for text in (maskkit.parse(SINK, seq_len=24), SINK))
    close(fixed(ids).logits, open_(ids).logits)
    room = hf.StaticCache(fixed.config, max_cache_len=32)
    close(fixed(ids, past_key_values=room).logits, open_(ids).logits)
    behind = torch.nn.functional.pad(torch.ones_like(ids), (0, 20))
    close(fixed(ids.repeat(1, 2), attention_mask=behind).logits[:, :20], open_(ids).logits)
    with pytest.raises(maskkit.ConfigError, match="is for 24 queries and 24 keys, and the text has 40 and 40"):
        fixed(ids.repeat(1, 2))


@pytest.mark.parametrize(
    ("name", "cache"),
    [
        (name, cache)
        for name in ("llama", "mistral", "gemma3", "llama4", "gpt_oss", "gemma3_images", "bart")
        for cache in ("dynamic", "static", "keeps all")
        if (name, cache) != ("bart", "keeps all")  # its cache is a pair
    ],
)
@torch.no_grad()
def test_generation_with_a_cache_is_that_without(name, cache, model_of, inputs_of, padded):
    model, inputs = use_mask(model_of(name), SINK), inputs_of(name, 12)
    inputs.pop("decoder_input_ids", None)
    options = dict(max_new_tokens=10, do_sample=False, eos_token_id=None, suppress_tokens=[49])
    more = {"dynamic": {}, "static": dict(cache_implementation="static")}.get(cache)
    more = dict(past_key_values=hf.DynamicCache()) if more is None else more
    found = [
        model.generate(**inputs, attention_mask=padded("left", 12), return_dict_in_generate=True, output_logits=True,
                       **options, **how)
        for how in (more, dict(use_cache=False))
    ]  # fmt: skip
    assert torch.equal(found[0].sequences, found[1].sequences)
    close(*(torch.stack(one.logits) for one in found))


@torch.no_grad()
def test_an_offloaded_cache_is_as_any_other(model_of, inputs_of, monkeypatch):
    class Stream(nullcontext):
        def wait_stream(self, other):
            """Nothing: there is one device."""

    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: Stream())
    model, ids = use_mask(model_of("llama"), SINK), inputs_of("llama")["input_ids"]
    cache = hf.DynamicCache(offloading=True)
    cache.prefetch_stream = Stream()
    steps = [model(part, past_key_values=cache, use_cache=True).logits for part in ids.split([12, 1, 7], 1)]
    close(torch.cat(steps, 1), model(ids).logits)


@pytest.mark.parametrize("static", [False, True])
@torch.no_grad()
def test_a_cache_that_has_dropped_keys_which_the_mask_allows_is_refused(static, model_of, inputs_of):
    """Mistral's slides with its own window; without that window the sinks are wanted, and gone."""
    ids = inputs_of("mistral")["input_ids"]
    model = use_mask(model_of("mistral"), SINK, own="replace")
    config = model.config
    cache = hf.StaticCache(config, max_cache_len=32) if static else hf.DynamicCache(config=config)
    model(ids[:, :19], past_key_values=cache)
    with pytest.raises(maskkit.ConfigError, match="the cache has dropped the first 13 keys"):
        model(ids[:, 19:], past_key_values=cache)
    whole = hf.DynamicCache()
    steps = [model(part, past_key_values=whole).logits for part in ids.split([19, 1], 1)]
    close(torch.cat(steps, 1), model(ids, use_cache=False).logits)


# -- masks that the caller gives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [range(20), [*range(12), *range(4, 12)]], ids=["row", "tree"])
@torch.no_grad()
def test_a_mask_of_four_axes_is_combined_with_the_template(position, model_of, inputs_of):
    """At the positions that are given: of a tree, two branches have the same."""
    given = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.7
    given |= torch.eye(20, dtype=torch.bool)
    ids, place = inputs_of("llama")["input_ids"], torch.tensor(position)
    both = given & sink(place[:, None], place)
    ours = use_mask(model_of("llama"), SINK)(ids, attention_mask=given, position_ids=place[None]).logits
    written = torch.where(both, 0.0, torch.finfo(torch.float32).min)
    close(ours, model_of("llama")(ids, attention_mask=written, position_ids=place[None]).logits)


@torch.no_grad()
def test_a_mask_of_four_axes_with_what_a_template_cannot_be_combined_with_is_refused(model_of, inputs_of):
    ids = inputs_of("llama")["input_ids"]
    model = use_mask(model_of("llama"), SINK)
    with pytest.raises(maskkit.ConfigError, match="adds other numbers to scores"):
        model(ids, attention_mask=torch.randn(2, 1, 20, 20))
    cache = model(ids[:, :12]).past_key_values
    with pytest.raises(maskkit.ConfigError, match="does not say where its queries and keys stand"):
        model(ids[:, 12:], past_key_values=cache, attention_mask=torch.ones(2, 1, 8, 20, dtype=torch.bool))
    with pytest.raises(maskkit.ConfigError, match="does not tell padding from pattern; give one of two axes"):
        use_mask(model, SINK, own="replace")(ids, attention_mask=torch.ones(2, 1, 20, 20, dtype=torch.bool))


# -- saving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("llama", SINK),
        ("gemma3", {"sliding_attention": "causal & random(mask_probability=0.5)", "full_attention": SINK}),
        ("mistral", [SINK, None]),
        ("bart", {"encoder": BANDED, "full_attention": SINK}),
        ("t5", {"encoder": BANDED, "cross": BANDED}),
        ("llava", SINK),
        ("gemma3_images", {"full_attention": SINK}),
    ],
)
@torch.no_grad()
def test_a_loaded_model_has_its_mask(name, template, model_of, inputs_of, tmp_path):
    """By a plain from_pretrained; and when it is saved and loaded again."""
    model, inputs = use_mask(model_of(name), template), inputs_of(name)
    wanted = model(**inputs).logits
    for again in ("once", "twice"):
        model.save_pretrained(tmp_path / again)
        model = type(model).from_pretrained(tmp_path / again).eval()
        assert torch.equal(model(**inputs).logits, wanted)
    assert not torch.allclose(model_of(name)(**inputs).logits, wanted)


def test_a_config_without_a_mask_has_no_attribute_of_ours(model_of):
    config = model_of("llama").config
    assert not hasattr(config, "maskkit")
    assert "maskkit" not in config.to_json_string()
    with_mask = use_mask(model_of("llama"), SINK).config
    del with_mask.maskkit
    assert "maskkit" not in with_mask.to_json_string()


def test_a_seed_is_drawn_once_and_saved(model_of):
    """The random mask that trained a model is the one that it is loaded with."""
    model = use_mask(model_of("llama"), "causal & random(mask_probability=0.5)")
    saved = model.config.maskkit["masks"]["full_attention"]
    assert isinstance(saved["and"][1]["seed"], int)
    assert use_mask(model_of("llama"), saved).config.maskkit == model.config.maskkit
