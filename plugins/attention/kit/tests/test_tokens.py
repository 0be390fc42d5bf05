"""Masks of tokens begin per token; the embedding obeys them, and carries them on."""

import keras
import numpy as np
import pytest
from keras import ops
import maskkit
from maskkit_keras import MaskedEmbedding, TokenMasking, carried_mask, pad_sequences

TOKENS = np.array([[1, 2, 3, 0], [4, 5, 0, 0], [1, 4, 8, 19]])


def tensor(x):
    return ops.convert_to_tensor(x)


def numpy(x):
    return ops.convert_to_numpy(x)


def mask_of(x):
    return numpy(carried_mask(x))


# -- TokenMasking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 4])
def test_the_mask_of_tokens_has_a_flag_for_each(value):
    """The seed's two examples; `keras.layers.Masking` gives one flag for each sample."""
    np.testing.assert_array_equal(mask_of(TokenMasking(value)(tensor(TOKENS))), value != TOKENS)
    assert mask_of(keras.layers.Masking(value)(tensor(TOKENS.astype("float32")))).shape == (3,)


def test_tokens_pass_unchanged_and_the_callers_tensor_gets_no_mask():
    x = tensor(TOKENS)
    y = TokenMasking()(x)
    np.testing.assert_array_equal(numpy(y), TOKENS)
    assert y.dtype == x.dtype
    assert carried_mask(x) is None


def test_features_are_masked_as_by_keras():
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    x[0, 1], x[1, 2:], x[1, 0, :2] = -1, -1, -1
    ours, theirs = TokenMasking(-1)(tensor(x)), keras.layers.Masking(-1)(tensor(x))
    np.testing.assert_array_equal(numpy(ours), numpy(theirs))
    np.testing.assert_array_equal(mask_of(ours), mask_of(theirs))
    assert mask_of(ours).tolist() == [[True, False, True, True], [True, True, False, False]]


def test_what_was_masked_before_stays_masked():
    twice = TokenMasking(4)(TokenMasking(0)(tensor(TOKENS)))
    np.testing.assert_array_equal(mask_of(twice), (TOKENS != 0) & (TOKENS != 4))


def test_half_precision_does_not_make_other_numbers_the_mask_value():
    """2049 is 2048 in float16."""
    layer = TokenMasking(2048, dtype="mixed_float16")
    assert mask_of(layer(tensor(np.array([[2048.0, 2049.0]], "float32")))).tolist() == [[False, True]]
    features = layer(tensor(np.array([[[2048.0], [2049.0]]], "float32")))
    assert mask_of(features).tolist() == [[False, True]]
    assert keras.backend.standardize_dtype(features.dtype) == "float16"


def test_a_mask_value_that_the_tokens_cannot_hold_blocks_none():
    assert mask_of(TokenMasking(-1)(tensor(np.array([[255, 0]], "uint8")))).tolist() == [[True, True]]


def test_a_mask_of_samples_is_refused_with_its_maker():
    """What `keras.layers.Masking` makes of tokens would be spread over them, where batch and steps agree."""
    x = keras.layers.Masking()(tensor(TOKENS[:, :3].astype("float32")))
    with pytest.raises(maskkit.ConfigError, match=r"mask of shape \(3,\).* keras.layers.Masking makes such masks"):
        TokenMasking()(x)


@pytest.mark.parametrize("bad", ["0", None, True, float("nan"), [0]])
def test_the_mask_value_is_a_number(bad):
    with pytest.raises(maskkit.ConfigError, match="mask_value must be a number, got"):
        TokenMasking(bad)


def test_one_axis_is_refused():
    with pytest.raises(
        maskkit.ConfigError, match=r"tokens \(batch, steps\) or features .* got an input of shape \(3,\)"
    ):
        TokenMasking()(tensor(np.array([1, 2, 0])))


# -- MaskedEmbedding --------------------------------------------------------------------------------------------------


def test_masked_positions_are_zero_and_the_mask_goes_on():
    layer = MaskedEmbedding(20, 3, embeddings_initializer="ones")
    y = layer(TokenMasking()(tensor(TOKENS)))
    np.testing.assert_array_equal(numpy(y), np.repeat((TOKENS != 0)[..., None], 3, axis=-1))
    np.testing.assert_array_equal(mask_of(y), TOKENS != 0)


def test_a_mask_that_is_given_lets_the_pad_value_be_a_token():
    """Token 0 of the second sample is real; the mask of `pad_sequences` says so."""
    padded, mask = pad_sequences([[5], [0, 3]])
    y = MaskedEmbedding(6, 1, embeddings_initializer="ones")(tensor(padded), mask=mask)
    assert numpy(y)[..., 0].tolist() == [[1, 0], [1, 1]]
    assert mask_of(y).tolist() == [[True, False], [True, True]]


def test_without_a_mask_it_is_an_embedding():
    layer, other = MaskedEmbedding(20, 3), keras.layers.Embedding(20, 3)
    y, _ = layer(tensor(TOKENS)), other(tensor(TOKENS))
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(numpy(y), numpy(other(tensor(TOKENS))))
    assert carried_mask(y) is None


@pytest.mark.parametrize("pad", [-1, 20, 2**20])
def test_padding_may_be_any_number(pad):
    """It is never looked up: not out of the table, and not from its end."""
    tokens = np.where(TOKENS == 0, pad, TOKENS)
    y = numpy(MaskedEmbedding(20, 3)(TokenMasking(pad)(tensor(tokens))))
    assert np.isfinite(y).all()
    assert not y[TOKENS == 0].any()
    assert y[TOKENS != 0].all()


def test_padding_teaches_the_table_nothing():
    model = keras.Sequential([TokenMasking(), MaskedEmbedding(20, 3), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.build((None, 4))
    table = model.layers[1].get_weights()[0]
    model.fit(TOKENS, np.ones((3, 4, 1)), verbose=0)
    moved = (model.layers[1].get_weights()[0] != table).any(axis=-1)
    assert moved.nonzero()[0].tolist() == [1, 2, 3, 4, 5, 8, 19]


@pytest.mark.parametrize(
    ("args", "options", "text"),
    [
        ((0, 3), {}, "vocab must be a positive integer, got 0"),
        ((20, 3.5), {}, "dim must be a positive integer, got 3.5"),
        ((20, 3), {"mask_zero": True}, r"put maskkit_keras.TokenMasking\(0\) before it, not mask_zero"),
    ],
)
def test_bad_arguments_are_named(args, options, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        MaskedEmbedding(*args, **options)


# -- both -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    """Trained for a step, with a length that is not known."""
    tokens = keras.Input((None,), dtype="int32")
    y = MaskedEmbedding(20, 4, name="embedding", embeddings_initializer="he_normal")(TokenMasking(0)(tokens))
    model = keras.Model(tokens, keras.layers.LSTM(3)(y))
    model.compile("adam", "mse")
    model.fit(TOKENS, np.zeros((3, 3)), verbose=0)
    return model


def test_a_trained_model_reads_a_sample_as_without_its_padding(model):
    np.testing.assert_allclose(
        model.predict(TOKENS, verbose=0)[1], model.predict(TOKENS[1:2, :2], verbose=0)[0], atol=1e-6
    )


def test_it_comes_back_from_a_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(TOKENS, verbose=0), model.predict(TOKENS, verbose=0))
    config = loaded.get_layer("embedding").get_config()
    assert (config["vocab"], config["dim"]) == (20, 4)
    assert config["embeddings_initializer"]["class_name"] == "HeNormal"
    assert loaded.layers[1].get_config()["mask_value"] == 0


def test_mixed_precision_computes_in_half():
    y = MaskedEmbedding(20, 3, dtype="mixed_bfloat16")(TokenMasking(dtype="mixed_bfloat16")(tensor(TOKENS)))
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    np.testing.assert_array_equal(mask_of(y), TOKENS != 0)


LAYERS_OF_TOKENS = {
    "adaptive_multi_head": dict(num_heads=2, key_dim=4),
    "anchor": dict(dim=8, num_heads=2, num_anchor_tokens=3),
    "capsule_routing": dict(num_heads=2),
    "differential": dict(dim=8, num_heads=2, head_dim=4),
    "group_query": dict(d_model=8, n_head=2, n_kv_head=1),
    "hopfield": dict(num_heads=2, key_dim=4, update_steps_max=1),
    "multi_head": dict(embed_dim=8, num_heads=2),
    "perceiver": dict(dim=8, num_heads=2),
    "reflect": {},
    "shared_weights_cross": dict(dim=8, num_heads=2, split_sizes=(2, 4)),
}


@pytest.mark.parametrize("name", LAYERS_OF_TOKENS)
def test_padding_that_is_not_finite_is_blanked_before_attention(name):
    """Behind TokenMasking, NaN and infinity at padding give what zeros there give."""
    layer = maskkit.create(name, **LAYERS_OF_TOKENS[name])
    x, real = np.random.default_rng(0).normal(size=(1, 6, 8)).astype("float32"), np.arange(6)[None] < 4
    x[~real] = 0
    expected = numpy(layer(tensor(x), attention_mask=real))
    x[:, 4:] = np.array([[np.nan], [np.inf]])
    np.testing.assert_array_equal(numpy(layer(TokenMasking()(tensor(x), mask=tensor(real)))), expected)
