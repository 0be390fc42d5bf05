"""The examples that people know from mask factories, with the results that they promise, on Torch and on JAX."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from maskkit import MaskConfig, MaskFactory, apply_mask, combine_masks, create_mask, get_mask_info, visualize_mask

NAMES = {
    "attention": ["causal", "sliding_window", "global_local", "block_diagonal", "random", "banded", "padding"],
    "segmentation": ["valid_query", "spatial", "query_interaction", "instance_separation"],
}


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def distance(n):
    """q - k for every pair."""
    return np.subtract.outer(np.arange(n), np.arange(n))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this is the run that it starts")
def test_all_of_this_holds_on_jax_too():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__)]
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=root, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- the table, and discovery -----------------------------------------------------------------------------------------


def test_all_types_of_the_table_are_there_in_their_category():
    info = get_mask_info()
    for category, names in NAMES.items():
        assert {info[name]["category"] for name in names} == {category}


def test_discovery():
    sliding_window = get_mask_info()["sliding_window"]
    assert sliding_window["required_params"] == ["seq_len", "window_size"]
    assert sliding_window["optional_params"] == {"dtype": "bool"}


@pytest.mark.parametrize(
    ("name", "required", "optional"),
    [
        ("causal", ["seq_len"], {}),
        ("global_local", ["seq_len", "sliding_window"], {}),
        ("block_diagonal", ["seq_len", "block_size"], {}),
        ("random", ["seq_len"], {"mask_probability": 0.1, "seed": None}),
        ("banded", ["seq_len", "band_width"], {}),
        ("padding", [], {"padding_mask": None, "valid": None}),
        ("valid_query", ["num_queries"], {"valid_queries": None}),
        ("spatial", ["height", "width"], {"attention_regions": None, "mask_mode": "inside"}),
        ("query_interaction", ["num_queries"], {"interaction_type": "self", "hierarchy_levels": None}),
        ("instance_separation", ["mask_predictions"], {"separation_threshold": 0.5}),
    ],
)
def test_required_and_optional_parameters(name, required, optional):
    info = get_mask_info()[name]
    assert info["required_params"] == required
    assert info["optional_params"] == {**optional, "dtype": "bool"}


# -- every mask -------------------------------------------------------------------------------------------------------


def test_causal():
    """Lower triangular: prevents future attention. The dtype is that of its array."""
    assert (np.asarray(create_mask("causal", seq_len=128)) == (distance(128) >= 0)).all()
    mask = np.asarray(create_mask("causal", seq_len=128, dtype="float32"))
    assert mask.dtype == np.float32
    assert (mask == (distance(128) >= 0)).all()


def test_sliding_window():
    """Each position sees 64 positions, itself the last of them."""
    mask = np.asarray(create_mask("sliding_window", seq_len=256, window_size=64))
    assert (mask == (distance(256) >= 0) & (distance(256) < 64)).all()


def test_global_local_is_a_pair():
    global_mask, local_mask = create_mask("global_local", seq_len=512, sliding_window=128)
    assert global_mask == create_mask("causal", seq_len=512)
    assert local_mask == create_mask("sliding_window", seq_len=512, window_size=128)


def test_block_diagonal():
    """256 tokens in blocks of 16 are 16 independent blocks."""
    mask = create_mask("block_diagonal", seq_len=256, block_size=16)
    assert len(mask.cu_seqlens()) - 1 == 16
    assert (np.asarray(mask) == np.kron(np.eye(16), np.ones((16, 16)))).all()


def test_random():
    """About 15% of the positions are blocked, always the same for one seed."""
    mask = create_mask("random", seq_len=128, mask_probability=0.15, seed=42)
    assert mask.blocked().mean() == pytest.approx(0.15, abs=0.01)
    assert mask == create_mask("random", seq_len=128, mask_probability=0.15, seed=42)


def test_banded():
    """Positions within 2 of the diagonal, on both sides."""
    assert (np.asarray(create_mask("banded", seq_len=128, band_width=5)) == (abs(distance(128)) <= 2)).all()


def test_padding():
    """(batch, seq_len) gives (batch, seq_len, seq_len)."""
    padding_mask = keras.ops.array([[False, False, True, True]])
    config = MaskConfig(mask_type="padding", dtype="float32", extra_params={"padding_mask": padding_mask})
    attention_mask = create_mask(config=config)
    assert attention_mask.shape == (1, 4, 4)
    assert np.asarray(attention_mask).tolist() == [[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]


def test_valid_query():
    """The first 5 of 10 queries are valid."""
    mask = create_mask("valid_query", num_queries=10, valid_queries=5)
    assert np.asarray(mask).tolist() == [True] * 5 + [False] * 5


@pytest.mark.parametrize("mode", ["inside", "outside"])
def test_spatial(mode):
    """The mode is the side that is blocked."""
    inside = np.zeros((64, 64), bool)
    inside[8:24, 40:] = True
    regions = keras.ops.array(inside)
    mask = create_mask("spatial", height=64, width=64, attention_regions=regions, mask_mode=mode)
    assert (mask.blocked() == (inside if mode == "inside" else ~inside)).all()


def test_spatial_outside_of_everything_blocks_nothing():
    regions = keras.ops.ones((64, 64), dtype="bool")
    mask = create_mask("spatial", height=64, width=64, attention_regions=regions, mask_mode="outside")
    assert np.asarray(mask).all()


def test_query_interaction():
    """Queries see those whose level is at most one away."""
    levels = np.arange(20) // 2
    mask = create_mask(
        "query_interaction",
        num_queries=20,
        interaction_type="hierarchical",
        hierarchy_levels=keras.ops.array(levels),
    )
    assert (np.asarray(mask) == (abs(np.subtract.outer(levels, levels)) <= 1)).all()


def test_instance_separation():
    """Where the strongest query is above the threshold, it is alone."""
    predictions = keras.random.uniform((2, 10, 64, 64), seed=1)
    config = MaskConfig(
        mask_type="instance_separation", separation_threshold=0.7, extra_params={"mask_predictions": predictions}
    )
    allowed, strengths = np.asarray(create_mask(config=config)), numbers(predictions)
    claimed = strengths.max(1) > 0.7
    assert (allowed.sum(1) == np.where(claimed, 1, 10)).all()
    assert (allowed.argmax(1)[claimed] == strengths.argmax(1)[claimed]).all()


# -- configs, the factory ---------------------------------------------------------------------------------------------


def test_configuration_based_creation():
    config = MaskConfig(mask_type="block_diagonal", seq_len=512, block_size=32, dtype="float32")
    array = np.asarray(create_mask(config=config))
    assert array.dtype == np.float32
    assert (array == np.kron(np.eye(16), np.ones((32, 32)))).all()


def test_validation_before_creation():
    config = MaskConfig(mask_type="sliding_window", seq_len=128, window_size=32)
    assert create_mask(config=config) == create_mask("sliding_window", seq_len=128, window_size=32)


def test_direct_factory_instantiation():
    assert MaskFactory.create_causal_mask(seq_len=128) == create_mask("causal", seq_len=128)
    window = MaskFactory.create_sliding_window_mask(seq_len=256, window_size=64)
    assert window == create_mask("sliding_window", seq_len=256, window_size=64)


@pytest.mark.parametrize(
    ("mask_type", "params", "words"),
    [
        ("causal", {}, "seq_len required for causal mask"),
        ("sliding_window", {"seq_len": 128}, "window_size required for sliding window mask"),
        ("sliding_window", {"seq_len": 128, "window_size": -1}, "window_size must be positive"),
        ("random", {"seq_len": 128, "mask_probability": 1.5}, r"mask_probability must be in \[0, 1\]"),
        ("invalid_type", {"seq_len": 128}, "Invalid mask_type: invalid_type"),
    ],
)
def test_parameter_validation(mask_type, params, words):
    with pytest.raises(ValueError, match=words):
        create_mask(mask_type, **params)
    with pytest.raises(ValueError, match=words):
        MaskConfig(mask_type=mask_type, **params)


# -- integration patterns ---------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable()
class MaskedAttention(keras.layers.Layer):
    def __init__(self, num_heads, key_dim, mask_type="causal", **mask_kwargs):
        super().__init__()
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.mask_type = mask_type
        self.mask_kwargs = mask_kwargs

        self.attention = keras.layers.MultiHeadAttention(num_heads=num_heads, key_dim=key_dim)

    def call(self, inputs, training=None):
        seq_len = keras.ops.shape(inputs)[1]
        mask = create_mask(self.mask_type, seq_len=seq_len, **self.mask_kwargs)
        return self.attention(inputs, inputs, attention_mask=mask, training=training)


class CachedMaskedAttention(keras.layers.Layer):
    def build(self, input_shape):
        seq_len = input_shape[1]
        self.mask = create_mask("causal", seq_len=seq_len)
        self.attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
        self.attention.build(input_shape, input_shape)
        super().build(input_shape)

    def call(self, inputs):
        return self.attention(inputs, inputs, attention_mask=self.mask)


@keras.saving.register_keras_serializable()
class SegmentationHead(keras.layers.Layer):
    def __init__(self, num_queries, **kwargs):
        super().__init__(**kwargs)
        self.num_queries = num_queries

    def call(self, mask_logits, valid_queries=None):
        query_mask = create_mask("valid_query", num_queries=self.num_queries, valid_queries=valid_queries)
        return apply_mask(mask_logits, query_mask, mask_type="segmentation")


@pytest.fixture
def tokens():
    return np.random.default_rng(0).normal(size=(2, 9, 8)).astype("float32")


def changed_rows(layer, tokens, at):
    """Of which tokens the output changes when one token does."""
    other = tokens.copy()
    other[:, at] += 1
    before, after = (numbers(layer(x)) for x in (tokens, other))
    return [i for i in range(tokens.shape[1]) if not np.array_equal(before[:, i], after[:, i])]


LAYERS = {
    "MaskedAttention": lambda: MaskedAttention(num_heads=2, key_dim=4),
    "with a float mask": lambda: MaskedAttention(num_heads=2, key_dim=4, dtype="float32"),
    "CachedMaskedAttention": CachedMaskedAttention,
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("at", [0, 4, 8])
def test_masked_attention_is_causal(make, tokens, at):
    """A token changes the outputs from itself on, and none before."""
    assert changed_rows(make(), tokens, at) == list(range(at, 9))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_masked_attention_is_that_of_keras(make, tokens):
    """The outputs are those of Keras' own causal mask on the same weights."""
    layer = make()
    masked = numbers(layer(tokens))
    np.testing.assert_allclose(masked, numbers(layer.attention(tokens, tokens, use_causal_mask=True)), atol=1e-6)


def test_masked_attention_takes_other_masks(tokens):
    layer = MaskedAttention(num_heads=2, key_dim=4, mask_type="sliding_window", window_size=3)
    assert changed_rows(layer, tokens, at=2) == [2, 3, 4]


# JAX and TensorFlow trace models before they know an open length, and a mask has to know its own.
@pytest.mark.parametrize("length", [9, None] if keras.backend.backend() == "torch" else [9])
@pytest.mark.parametrize("make", [LAYERS["MaskedAttention"], LAYERS["with a float mask"]], ids=["bool", "float32"])
def test_masked_attention_in_a_model_is_causal_and_trains(make, tokens, length):
    """Compiled too, and with a length that is known at the call alone."""
    inputs = keras.Input((length, 8))
    model = keras.Model(inputs, make()(inputs))
    model.compile("sgd", "mse")
    losses = [model.train_on_batch(tokens, tokens) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert changed_rows(model.predict_on_batch, tokens, at=4) == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("valid", [3, np.array([True, False, True, False, False, True])], ids=["count", "marked"])
def test_segmentation_head_masks_queries(valid):
    """Queries that are not valid have no pixel left; the others keep all of theirs."""
    logits = np.random.default_rng(0).normal(size=(2, 6, 4, 5)).astype("float32")
    masked = numbers(SegmentationHead(num_queries=6)(logits, valid_queries=valid))
    is_valid = np.arange(6) < 3 if isinstance(valid, int) else valid
    np.testing.assert_array_equal(masked[:, is_valid], logits[:, is_valid])
    assert (numbers(keras.ops.sigmoid(masked))[:, ~is_valid] == 0).all()


def test_segmentation_head_without_valid_queries_leaves_all():
    logits = np.random.default_rng(0).normal(size=(2, 6, 4, 5)).astype("float32")
    np.testing.assert_array_equal(numbers(SegmentationHead(num_queries=6)(logits)), logits)


def test_segmentation_head_in_a_model():
    """Which queries are valid may be an input of the model: the mask is then made of what is traced."""
    logits, valid = keras.Input(batch_shape=(2, 6, 4, 5)), keras.Input(batch_shape=(6,), dtype="bool")
    model = keras.Model([logits, valid], SegmentationHead(num_queries=6)(logits, valid_queries=valid))
    marked = np.array([True, False, True, True, False, True])
    masked = numbers(model([keras.ops.zeros((2, 6, 4, 5)), keras.ops.array(marked)]))
    assert (masked[:, marked] == 0).all()
    assert (masked[:, ~marked] == -1e9).all()


def test_combining_multiple_masks():
    """Blocked if either condition is true."""
    padding = np.zeros((2, 128), bool)
    padding[1, 100:] = True
    padding_tensor = keras.ops.array(padding)
    causal_mask = create_mask("causal", seq_len=128)
    padding_mask = create_mask(config=MaskConfig(mask_type="padding", extra_params={"padding_mask": padding_tensor}))
    combined_mask = combine_masks(causal_mask, padding_mask, combination="or")
    blocked = (distance(128) < 0) | padding[:, None, :] | padding[:, :, None]
    assert (combined_mask.blocked() == blocked).all()
    assert (np.asarray(combined_mask) == ~blocked).all()


def test_apply_to_attention_logits():
    logits = keras.random.normal((2, 8, 128, 128), seed=1)
    mask = create_mask("causal", seq_len=128)
    masked = numbers(apply_mask(logits, mask, mask_value=-1e9, mask_type="attention"))
    np.testing.assert_array_equal(masked, np.where(distance(128) >= 0, numbers(logits), np.float32(-1e9)))
    weights = numbers(keras.ops.softmax(masked))
    assert (weights[..., distance(128) < 0] == 0).all()


def test_apply_to_segmentation_predictions():
    predictions = keras.random.uniform((2, 10, 64, 64), seed=1)
    query_mask = create_mask("valid_query", num_queries=10, valid_queries=5)
    masked = numbers(apply_mask(predictions, query_mask, mask_type="segmentation"))
    np.testing.assert_array_equal(masked[:, :5], numbers(predictions)[:, :5])
    assert (masked[:, 5:] == np.float32(-1e9)).all()


# -- pictures, logs ---------------------------------------------------------------------------------------------------


def test_visualization(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    mask = create_mask("sliding_window", seq_len=64, window_size=16)
    with caplog.at_level("INFO", "maskkit"):
        visualize_mask(
            mask,
            title="Sliding Window Attention Pattern",
            figsize=(10, 8),
            cmap="Blues",
            save_path="attention_pattern.png",
            show=True,
        )
    assert (tmp_path / "attention_pattern.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert caplog.messages == ["Saved mask visualization to attention_pattern.png"]
    assert caplog.records[0].levelname == "INFO"


def test_debug_log(caplog):
    with caplog.at_level("DEBUG", "maskkit"):
        causal = create_mask("causal", seq_len=128)
        create_mask("sliding_window", seq_len=256, window_size=64)
        combine_masks(causal, causal)
    assert caplog.messages == [
        "Created causal mask with shape (128, 128)",
        "Created sliding window mask: shape=(256, 256), window_size=64",
        "Combined 2 masks using or",
    ]
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


# -- best practices ---------------------------------------------------------------------------------------------------


def test_appropriate_data_types():
    """A bool mask takes a byte for a pair, a float32 mask four, and multiplies."""
    bool_mask = np.asarray(create_mask("causal", seq_len=1024, dtype="bool"))
    float_mask = np.asarray(create_mask("causal", seq_len=1024, dtype="float32"))
    assert (bool_mask.nbytes, float_mask.nbytes) == (1024**2, 4 * 1024**2)
    assert (float_mask * np.float32(2) == np.where(bool_mask, 2, 0)).all()


@pytest.mark.parametrize("params", [{"seq_len": 0, "window_size": 3}, {"seq_len": "many", "window_size": 3}, {}])
def test_validate_early(params):
    """What is wrong with a user's config is a ValueError, before anything is built."""
    with pytest.raises(ValueError, match="seq_len"):
        MaskConfig(mask_type="sliding_window", **params)
