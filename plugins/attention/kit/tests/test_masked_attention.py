"""Attention and its mask from plain config."""

import json

import keras
import numpy as np
import pytest
import yaml
from attrs import frozen
from keras import ops
import maskkit
from maskkit import Template
from maskkit_keras import MaskedAttention, MaskedEmbedding, TokenMasking
from maskkit_keras.templates import allowed_of_unknown
from maskkit_keras.testing import Probe

GROUP_QUERY = {"type": "group_query", "d_model": 8, "n_head": 2, "n_kv_head": 1}
MULTI_HEAD = {"type": "multi_head", "embed_dim": 8, "num_heads": 2}
X = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")

TEMPLATES = [
    "causal",
    {"type": "sliding_window", "window_size": 3},
    {"and": ["causal", {"not": {"type": "banded", "band_width": 3}}]},
    "causal & random(mask_probability=0.3) | strided(stride=2)",
    {"type": "bigbird", "block_size": 2, "num_random_blocks": 1},
    {"type": "key_padding", "lengths": [4, 6]},
]


def tensor(x):
    return ops.convert_to_tensor(x)


def numpy(x):
    return ops.convert_to_numpy(x)


# -- what it computes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", TEMPLATES, ids=str)
def test_it_is_the_attention_with_the_mask_bound_to_the_length(mask):
    layer = MaskedAttention(MULTI_HEAD, mask)
    _, weights = layer(X, return_attention_scores=True)
    bound = maskkit.create(layer.get_config()["mask"], seq_len=6)
    allowed = bound.allowed() if len(bound.shape) == 3 else bound.allowed()[None]
    np.testing.assert_array_equal(numpy(weights) > 0, np.broadcast_to(allowed[:, None], weights.shape))
    expected = layer.attention(X, attention_mask=bound)
    np.testing.assert_allclose(numpy(layer(X)), numpy(expected), atol=1e-6)


def attention_of_tokens():
    """The first sample of every installed attention that obeys masks of pairs of tokens."""
    for name in maskkit.names("attention"):
        config = maskkit.config(f"attention.{name}", **maskkit.find(name, "attention").samples[0])
        if "pairs" in config.masks and "H, W" not in config.shapes:
            yield pytest.param(config, id=name)


@pytest.mark.parametrize("config", [*attention_of_tokens()])
def test_any_attention_of_tokens_will_do(config):
    """It does what the attention does with the bound mask: a last token that no other sees changes no other."""
    probe = Probe(type(config), type(config).samples[0])
    (x, *_), length = probe.inputs(), probe.tokens(probe.inputs())
    layer = MaskedAttention(config, "causal")
    before = numpy(layer(x))
    bound = maskkit.create("causal", seq_len=length)
    np.testing.assert_allclose(before, numpy(layer.attention(x, attention_mask=bound)), atol=1e-5)
    if config.row_local:
        x[:, -1] += 1
        np.testing.assert_allclose(numpy(layer(x))[:, :-1], before[:, :-1], atol=1e-5)


def test_another_length_is_another_mask():
    layer = MaskedAttention(MULTI_HEAD, {"type": "sliding_window", "window_size": 2})
    for length in (3, 6):
        _, weights = layer(X[:, :length], return_attention_scores=True)
        assert (numpy(weights)[0, 0] > 0).tolist() == maskkit.create(
            "sliding_window", window_size=2, seq_len=length
        ).allowed().tolist()


def test_padding_and_a_mask_of_the_call_are_anded():
    """Keras' own mask, the bound one, and `attention_mask` as keys, as pairs and per head."""
    layer = MaskedAttention(MULTI_HEAD, "causal")
    random = np.random.default_rng(1)
    real = np.array([[True] * 4 + [False] * 2, [True] * 6])
    causal = np.tril(np.ones((6, 6), bool))
    for shape in ((2, 6), (2, 6, 6), (2, 2, 6, 6)):
        given = random.random(shape) < 0.7
        _, weights = layer(tensor(X), mask=tensor(real), attention_mask=given, return_attention_scores=True)
        four = given[:, None, None] if len(shape) == 2 else given[:, None] if len(shape) == 3 else given
        expected = np.broadcast_to(four & causal & real[:, None, None], weights.shape)
        np.testing.assert_array_equal(numpy(weights) > 0, expected)


def test_a_mask_value_of_the_call_is_anded():
    layer = MaskedAttention(MULTI_HEAD, "causal")
    band = maskkit.create("banded", seq_len=6, band_width=3)
    _, weights = layer(X, attention_mask=band, return_attention_scores=True)
    expected = np.broadcast_to(band.allowed() & np.tril(np.ones((6, 6), bool)), weights.shape)
    np.testing.assert_array_equal(numpy(weights) > 0, expected)


@pytest.mark.parametrize(
    "attention",
    [{"type": "perceiver", "dim": 8, "num_heads": 2}, {"type": "adaptive_multi_head", "num_heads": 2, "key_dim": 4}],
    ids=str,
)
def test_queries_and_keys_may_differ_in_number(attention):
    """Both count from 0: query 2 sees the keys 0..2. The padding of what is read counts too."""
    layer = MaskedAttention(attention, "causal")
    real = np.array([[True, False, True, True], [True] * 4])
    _, weights = layer(tensor(X), tensor(X[:, :4]), value_mask=tensor(real), return_attention_scores=True)
    expected = np.tril(np.ones((6, 4), bool)) & real[:, None, None]
    np.testing.assert_array_equal(numpy(weights) > 0, np.broadcast_to(expected, weights.shape))


def test_more_inputs_than_the_attention_takes_are_refused():
    with pytest.raises(maskkit.ConfigError, match="at most as many inputs as its MultiHeadAttention, 1, got 2"):
        MaskedAttention(MULTI_HEAD, "causal")(X, X)


def test_on_maps_the_mask_takes_height_and_width():
    """Pairs of pixels for an attention that knows them, else pixels."""
    block = maskkit.config({"type": "attention_block", **maskkit.find("attention_block").samples[0]})
    x = np.random.default_rng(0).normal(size=(2, 3, 4, block.dim)).astype("float32")
    layer = MaskedAttention(block, {"type": "neighborhood", "kernel_size": 3})
    bound = maskkit.create("neighborhood", height=3, width=4, kernel_size=3)
    np.testing.assert_allclose(numpy(layer(x)), numpy(layer.attention(x, attention_mask=bound)), atol=1e-6)
    regions = {"type": "spatial", "attention_regions": [[True] * 4, [False] * 4, [True] * 4]}
    pixels = MaskedAttention(block, regions)
    keep = maskkit.create(regions, kind="mask", height=3, width=4).allowed()
    assert 0 < keep.sum() < 12
    y = pixels(x)
    expected = pixels.attention(x, attention_mask=np.stack([keep, keep]))
    np.testing.assert_allclose(numpy(y), numpy(expected), atol=1e-6)


# -- config -----------------------------------------------------------------------------------------------------------


def test_a_file_alone_defines_it(tmp_path):
    section = {"attention": GROUP_QUERY, "mask": {"type": "sliding_window", "window_size": 3}}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"encoder": {"layer": section}}))
    (tmp_path / "layer.json").write_text(json.dumps(section))
    found = [
        MaskedAttention.from_file(tmp_path / "model.yaml", "encoder.layer"),
        MaskedAttention.from_file(tmp_path / "layer.json"),
        MaskedAttention(**section),
    ]
    configs = [{name: layer.get_config()[name] for name in ("attention", "mask")} for layer in found]
    assert configs[0] == configs[1] == configs[2]
    assert configs[0]["mask"] == section["mask"]
    assert configs[0]["attention"].items() >= GROUP_QUERY.items()
    (tmp_path / "bad.json").write_text(json.dumps({"attention": GROUP_QUERY}))
    with pytest.raises(
        maskkit.ConfigError, match=r"bad.json: Required parameters for 'masked' are missing: \['mask'\]"
    ):
        MaskedAttention.from_file(tmp_path / "bad.json")


@pytest.mark.parametrize("mask", TEMPLATES[2:5], ids=str)
def test_it_comes_back_from_a_file_with_the_same_mask(mask, tmp_path):
    """At a length that is not known, and with the seed that was drawn."""
    x = keras.Input((None, 8))
    model = keras.Model(x, MaskedAttention(GROUP_QUERY, mask)(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].mask == model.layers[-1].mask
    np.testing.assert_array_equal(numpy(loaded(X)), numpy(model(X)))


def test_bound_masks_are_cached_by_value():
    """Equal templates, however they are written, share one mask for each length."""
    ways = ("causal & banded(band_width=3)", {"and": [{"type": "causal"}, {"type": "banded", "band_width": 3}]})
    first, second = (MaskedAttention(MULTI_HEAD, way).mask for way in ways)
    assert first == second
    assert hash(first) == hash(second)
    assert first.bind(16) is second.bind(16)
    assert first.bind(16) is not first.bind(17)


def test_layers_with_equal_masks_make_one_for_a_length():
    made = []

    @frozen(kw_only=True)
    class Noted(maskkit.AttentionMask):
        """Everything is allowed."""

        name = "noted"
        seq_len: int

        def __attrs_post_init__(self):
            super().__attrs_post_init__()
            made.append(self.seq_len)

        def allows(self, q, k):
            return q + k >= 0

    with maskkit.register(Noted):
        for _ in range(3):
            MaskedAttention(MULTI_HEAD, "noted")(X)
    assert made == [6]


def test_a_mask_value_is_a_template_too():
    layer = MaskedAttention(MULTI_HEAD, maskkit.create("causal", seq_len=6))
    np.testing.assert_array_equal(numpy(layer(X)), numpy(layer.attention(X, attention_mask=layer.mask.bind(6))))


@pytest.mark.parametrize(
    ("attention", "mask", "text"),
    [
        (GROUP_QUERY, {"type": "sliding_window"}, "window_size required for sliding window mask"),
        (GROUP_QUERY, {"type": "sliding_window", "window_size": -1}, "window_size must be positive, got -1"),
        (GROUP_QUERY, "causl", "Unknown mask type 'causl'; did you mean 'causal'"),
        (GROUP_QUERY, "global_local(sliding_window=4)", "global_local gives several masks"),
        (GROUP_QUERY, {"and": []}, "'and' takes a list of masks"),
        (GROUP_QUERY, {"foo": 1}, "a mapping needs 'type'"),
        (GROUP_QUERY, 5, "mask must be a mask, its config or an expression, got 5"),
        ({"type": "cbam", "channels": 8}, "causal", "Parameter 'attention' must take an attention_mask"),
        ({"type": "group_query", "d_model": 8}, "causal", r"'group_query' are missing: \['n_head', 'n_kv_head'\]"),
    ],
)
def test_mistakes_are_found_when_it_is_made(attention, mask, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        MaskedAttention(attention, mask)


def test_all_mistakes_are_reported_together():
    with pytest.raises(maskkit.ConfigError) as caught:
        MaskedAttention({"type": "group_query", "d_model": 8}, "sliding_window(window_size=0) & banded")
    for problem in ("['n_head', 'n_kv_head']", "window_size must be positive, got 0", "band_width required for banded"):
        assert problem in str(caught.value)


def test_a_mask_of_another_length_is_refused_with_the_way_out():
    layer = MaskedAttention(MULTI_HEAD, {"type": "causal", "seq_len": 128})
    with pytest.raises(
        maskkit.ConfigError, match=r"128 queries and 128 keys, but there are 6 and 6; .* without seq_len"
    ):
        layer(X)


# -- lengths that are tensors -----------------------------------------------------------------------------------------


def index_type():
    return "int32" if keras.backend.backend() == "jax" else "int64"


@pytest.mark.parametrize("mask", TEMPLATES, ids=str)
@pytest.mark.parametrize("lengths", [(6, 6), (5, 9)], ids=str)
def test_the_predicate_on_tensors_is_the_bound_mask(mask, lengths):
    """BigBird's rows depend on the length itself, which here is a tensor."""
    template = Template.of(mask)
    queries, keys = (tensor(np.array(length, index_type())) for length in lengths)
    found = allowed_of_unknown(template, queries, keys)
    bound = template.bind(*lengths)
    expected = bound.allowed()[:, None] if len(bound.shape) == 3 else bound.allowed()[None, None]
    np.testing.assert_array_equal(np.broadcast_to(numpy(found), expected.shape), expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere running code knows every length")
@pytest.mark.parametrize("mask", [m for m in TEMPLATES if "bigbird" not in str(m)], ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_tensorflow_graph_may_not_know_the_length(mask, compiled):
    import tensorflow

    layer = MaskedAttention(MULTI_HEAD, mask)
    expected = numpy(layer(X))
    signature = [tensorflow.TensorSpec((None, None, 8))]
    graph = tensorflow.function(lambda x: layer(x), input_signature=signature, jit_compile=compiled)
    np.testing.assert_allclose(numpy(graph(X)), expected, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere running code knows every length")
def test_a_mask_that_needs_its_length_in_python_says_so():
    import tensorflow

    @frozen(kw_only=True)
    class Halves(maskkit.AttentionMask):
        """A query sees the half that it is in."""

        name = "halves"
        seq_len: int

        def allows(self, q, k):
            return (q < len(range(self.seq_len // 2))) ^ (k >= len(range(self.seq_len // 2)))

    with maskkit.register(Halves):
        layer = MaskedAttention(MULTI_HEAD, "causal & halves")
        layer(X)
        signature = [tensorflow.TensorSpec((None, None, 8))]
        graph = tensorflow.function(lambda x: layer(x), input_signature=signature, autograph=False)
        with pytest.raises(maskkit.ConfigError, match=r"halves mask counts up to its length in Python.*keras.Input"):
            graph(X)


def test_it_trains_in_a_model_that_does_not_know_the_length():
    """Padded samples give what they give without their padding."""
    tokens = keras.Input((None,), dtype="int32")
    y = MaskedAttention(GROUP_QUERY, "causal")(MaskedEmbedding(10, 8)(TokenMasking()(tokens)))
    model = keras.Model(tokens, keras.layers.GlobalAveragePooling1D()(y))
    model.compile("adam", "mse")
    batch = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    model.fit(batch, np.zeros((2, 8)), verbose=0)
    model.fit(batch[:, :4], np.zeros((2, 8)), verbose=0)
    padded, short = model.predict(batch, verbose=0)[0], model.predict(batch[:1, :3], verbose=0)[0]
    np.testing.assert_allclose(padded, short, atol=1e-6)


def test_mixed_precision_reaches_the_attention_inside():
    layer = MaskedAttention(MULTI_HEAD, "causal", dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(X).dtype) == "bfloat16"
    assert layer.attention.compute_dtype == "bfloat16"
