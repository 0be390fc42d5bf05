"""The pieces that attention layers share: masks by rank, the masked softmax, attention, kernels, the base class."""

import inspect
import json

import attrs
import keras
import numpy as np
import pytest
from keras import ops
import maskkit
from maskkit import Attention, ConfigError
from maskkit_keras import (
    AttentionLayer,
    Dropout,
    allowed_pairs,
    attend,
    by_fans,
    causal_mask,
    custom_objects,
    fresh,
    masked_softmax,
    pixel_mask,
    project,
    rms_norm,
    scores_mask,
)


def numbers(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# -- masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 5), (2, 1, 1, 5)), ((2, 4, 5), (2, 1, 4, 5)), ((1, 4, 5), (1, 1, 4, 5)), ((2, 3, 4, 5), (2, 3, 4, 5))],
)
@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
def test_the_rank_says_what_a_mask_means(shape, expected, dtype):
    mask = np.random.default_rng(0).random(shape) < 0.5
    found = numbers(scores_mask(mask.astype(dtype)))
    assert (found.shape, found.dtype) == (expected, bool)
    np.testing.assert_array_equal(found.ravel(), mask.ravel())


@pytest.mark.parametrize("shape", [(5,), (1, 1, 2, 3, 4)])
def test_other_ranks_are_refused(shape):
    with pytest.raises(ConfigError, match=r"Parameter 'attention_mask' must have the shape \(batch, keys\), "):
        scores_mask(np.ones(shape, bool))


def test_an_additive_mask_is_refused():
    """Cast to booleans it would allow what it blocks."""
    with pytest.raises(ConfigError, match="it is an additive mask: give `mask == 0`"):
        scores_mask(np.array([[0.0, -1e9]], "float32"))


def test_one_is_allowed_and_zero_blocked():
    assert numbers(scores_mask(np.array([[0.0, 1.0, 1.0]], "float32"))).ravel().tolist() == [False, True, True]


def test_a_mask_value_of_queries_and_keys_is_no_mask_of_keys():
    """Its two axes are queries and keys, where those of an array would be batch and keys."""
    assert (
        numbers(scores_mask(maskkit.create("causal", seq_len=3))).tolist() == np.tri(3, dtype=bool)[None, None].tolist()
    )


def test_a_mask_of_the_wrong_length_is_refused():
    """Sizes 1 would broadcast in silence."""
    with pytest.raises(ConfigError, match="is for 4 queries and 4 keys, but there are 6 queries and 6 keys"):
        allowed_pairs(np.ones((1, 4, 4), bool), queries=6, keys=6)
    with pytest.raises(ConfigError, match="is for 1 queries and 1 keys, but"):
        allowed_pairs(np.ones((2, 1), bool), queries=6, keys=6)


def test_all_masks_are_anded():
    random = np.random.default_rng(0)
    pairs, keys = random.random((2, 4, 4)) < 0.7, random.random((2, 4)) < 0.7
    found = numbers(allowed_pairs(pairs, keys, True, queries=4, keys=4).dense(4, 4))
    np.testing.assert_array_equal(found[:, 0], pairs & keys[:, None] & np.tri(4, dtype=bool))


@pytest.mark.parametrize(("queries", "keys"), [(3, 5), (5, 3), (1, 1)])
def test_causal_counts_from_the_first_token(queries, keys):
    np.testing.assert_array_equal(numbers(causal_mask(queries, keys)), np.tri(queries, keys, dtype=bool))


def test_pixels_may_come_as_a_map_or_flat():
    mask = np.random.default_rng(0).random((2, 3, 4)) < 0.5
    np.testing.assert_array_equal(numbers(pixel_mask(mask)), mask.reshape(2, 12))
    np.testing.assert_array_equal(numbers(pixel_mask(mask.reshape(2, 12))), mask.reshape(2, 12))
    with pytest.raises(ConfigError, match=r"\(batch, height, width\) or \(batch, pixels\), got \(2, 3, 4, 1\)"):
        pixel_mask(mask[..., None])


# -- attention --------------------------------------------------------------------------------------------------------


def softmax(scores, allowed):
    """In float64, row by row, over what is allowed."""
    e = np.where(allowed, np.exp(scores.astype("float64") - scores.max(-1, keepdims=True)), 0)
    total = e.sum(-1, keepdims=True)
    return e / np.where(total > 0, total, 1)


def test_masked_softmax_is_the_softmax_of_what_is_allowed():
    scores, allowed = normal(2, 3, 4, 5), np.random.default_rng(1).random((2, 1, 4, 5)) < 0.6
    np.testing.assert_allclose(numbers(masked_softmax(scores, allowed)), softmax(scores, allowed), atol=1e-6)
    np.testing.assert_allclose(numbers(masked_softmax(scores)), softmax(scores, True), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_blocked_weights_are_exactly_zero(dtype):
    """Also in a row that allows nothing, and beside scores near the end of the dtype."""
    scores = ops.cast(np.array([[6e4, 6e4, -6e4], [1.0, 2.0, 3.0]], "float32"), dtype)
    allowed = np.array([[True, False, True], [False, False, False]])
    weights = masked_softmax(scores, allowed)
    assert keras.backend.standardize_dtype(weights.dtype) == dtype
    assert numbers(ops.cast(weights, "float32")).tolist() == [[1, 0, 0], [0, 0, 0]]


def test_a_constant_added_to_a_row_changes_nothing():
    scores = normal(4, 5)
    np.testing.assert_allclose(numbers(masked_softmax(scores + 7)), numbers(masked_softmax(scores)), atol=1e-6)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", [None, (2, 5), (1, 5, 5), (2, 4, 5, 5)], ids=str)
def test_fused_and_explicit_attention_are_the_formula(key_heads, causal, mask):
    q, k, v = normal(2, 5, 4, 8), normal(2, 5, key_heads, 8, seed=1), normal(2, 5, key_heads, 6, seed=2)
    array = None if mask is None else np.random.default_rng(3).random(mask) < 0.5
    allowed = allowed_pairs(array, None, causal, queries=5, keys=5)
    dense = allowed.dense(5, 5)
    dense = np.ones((5, 5), bool) if dense is None else numbers(dense)
    kk, vv = (np.repeat(x, 4 // key_heads, axis=2) for x in (k, v))
    weights = softmax(np.einsum("bqhd,bshd->bhqs", q, kk) * 8**-0.5, np.broadcast_to(dense, (2, 4, 5, 5)))
    expected = np.einsum("bhqs,bshd->bqhd", weights, vv)
    tensors = [ops.convert_to_tensor(x) for x in (q, k, v)]
    np.testing.assert_allclose(numbers(attend(*tensors, allowed)[0]), expected, atol=1e-5)
    context, found = attend(*tensors, allowed, weights=True)
    np.testing.assert_allclose(numbers(context), expected, atol=1e-5)
    np.testing.assert_allclose(numbers(found), weights, atol=1e-5)


def test_rms_norm_of_zero_is_zero():
    x = np.array([[0.0, 0.0], [3.0, 4.0]], "float32")
    np.testing.assert_allclose(numbers(rms_norm(ops.convert_to_tensor(x))), [[0, 0], [0.8485, 1.1314]], atol=1e-4)


# -- kernels ----------------------------------------------------------------------------------------------------------


def test_projection_contracts_the_last_axes():
    x, kernel, bias = normal(2, 3, 4, 5), normal(4, 5, 6, 7, seed=1), normal(6, 7, seed=2)
    found = project(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias), inputs=2)
    np.testing.assert_allclose(numbers(found), np.einsum("btij,ijkl->btkl", x, kernel) + bias, atol=1e-4)


def test_kernels_are_spread_as_matrices():
    """Glorot on (512, 8, 64) is that of a 512 x 512 matrix: 0.044, where the plain shape gives 0.0074."""
    values = numbers(by_fans([keras.initializers.GlorotUniform(seed=0)])((512, 8, 64), "float32"))
    assert values.std() == pytest.approx((2 / 1024) ** 0.5, rel=0.02)
    stacked = [keras.initializers.GlorotUniform(seed=seed) for seed in range(3)]
    values = numbers(by_fans(stacked, parts=3)((512, 3, 8, 64), "float32"))
    assert values.std() == pytest.approx((2 / 1024) ** 0.5, rel=0.02)
    assert not np.array_equal(values[:, 0], values[:, 1])
    uneven = numbers(by_fans(stacked[:2], parts=(6, 2))((512, 8, 64), "float32"))
    assert uneven[:, :6].std() == pytest.approx((2 / (512 + 384)) ** 0.5, rel=0.02)
    assert uneven[:, 6:].std() == pytest.approx((2 / (512 + 128)) ** 0.5, rel=0.02)


def test_fresh_initializers_give_other_numbers():
    for initializer in (keras.initializers.HeNormal(), keras.initializers.HeNormal(seed=3)):
        a, b = (numbers(fresh(initializer, offset)((4, 4))) for offset in (0, 1))
        assert not np.array_equal(a, b)
    seeded = keras.initializers.HeNormal(seed=3)
    assert np.array_equal(numbers(fresh(seeded, 1)((4, 4))), numbers(fresh(seeded, 1)((4, 4))))
    function = keras.initializers.Constant(2.0)
    assert numbers(fresh(function, 5)((2,))).tolist() == [2, 2]


@pytest.mark.parametrize(("rate", "training", "zeros"), [(1.0, True, True), (1.0, False, False), (0.0, True, False)])
def test_dropout_may_drop_everything(rate, training, zeros):
    assert (not numbers(Dropout(rate)(np.ones((3, 3), "float32"), training=training)).any()) == zeros


def test_outside_of_training_nothing_is_called():
    x = ops.convert_to_tensor(normal(2, 3))
    for dropout, training in ((Dropout(0.5), False), (Dropout(0.5), None), (Dropout(0.0), True)):
        assert dropout.drop(x, training) is x
    assert (numbers(Dropout(0.5, seed=1).drop(x, training=True)) == 0).any()


# -- a layer of somebody else's ---------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Mean(Attention):
    """Every token gets the mean of what it may see.

    Attributes:
        width: of the tokens.
    """

    name = "mean_for_tests"
    width: int = attrs.field(validator=maskkit.positive)


class MeanLayer(AttentionLayer):
    config_class = Mean

    def call(self, inputs, memory=None, attention_mask=None, mask=None, memory_mask=None):
        self.seen = {"mask": mask, "memory_mask": memory_mask, "attention_mask": attention_mask}
        keys = inputs if memory is None else memory
        allowed = allowed_pairs(attention_mask, mask if memory is None else memory_mask)
        scores = ops.zeros((keys.shape[0], 1, inputs.shape[1], keys.shape[1]))
        return ops.einsum("bhqs,bsc->bqc", masked_softmax(scores, allowed.dense(inputs.shape[1], keys.shape[1])), keys)


def test_parameters_are_checked_by_the_config_and_become_attributes():
    layer = MeanLayer(width=4, name="mine", dtype="float16")
    assert (layer.width, layer.name, layer.compute_dtype) == (4, "mine", "float16")
    with pytest.raises(ConfigError, match="Parameter 'width' must be positive, got 0"):
        MeanLayer(width=0)
    assert list(inspect.signature(MeanLayer).parameters)[:2] == ["width", "name"]


def test_inputs_carry_their_masks_to_arguments_of_their_name():
    x, memory = ops.convert_to_tensor(normal(1, 2, 4)), ops.convert_to_tensor(normal(1, 3, 4, seed=1))
    memory._keras_mask = ops.convert_to_tensor([[True, False, True]])
    layer = MeanLayer(width=4)
    y = numbers(layer(x, memory, attention_mask=np.ones((1, 2, 3), bool)))
    assert layer.seen["mask"] is None
    np.testing.assert_allclose(y[0, 0], numbers(memory)[0, [0, 2]].mean(0), atol=1e-6)


def test_the_first_inputs_mask_goes_on():
    x = ops.convert_to_tensor(normal(1, 3, 4))
    x._keras_mask = ops.convert_to_tensor([[True, True, False]])
    assert numbers(MeanLayer(width=4)(x)._keras_mask).tolist() == [[True, True, False]]


def test_masks_in_a_functional_model_reach_the_layer():
    """From an embedding, beside an explicit mask, after saving too."""
    tokens = keras.Input((4,), dtype="int32")
    x = keras.layers.Embedding(5, 6, mask_zero=True)(tokens)
    mask = maskkit.create("causal", seq_len=4)
    model = keras.Model(tokens, maskkit.create("multi_head", embed_dim=6, num_heads=2)(x, attention_mask=mask))
    a, b = (numbers(model(np.array([row]))) for row in ([1, 0, 2, 3], [1, 0, 4, 3]))
    np.testing.assert_array_equal(a[:, :2], b[:, :2])
    layer, embedded = model.layers[-1], model.layers[1](np.array([[1, 0, 2, 3]]))
    allowed = np.tri(4, dtype=bool)[None] & np.array([True, False, True, True])
    np.testing.assert_allclose(a, numbers(layer(np.array(numbers(embedded)), attention_mask=allowed)), atol=1e-6)


def test_a_mask_of_pixels_is_no_mask_of_tokens():
    pixels = maskkit.create("mask.spatial", height=2, width=2)
    with pytest.raises(ConfigError, match="must be a mask of queries and keys"):
        MeanLayer(width=4)(normal(1, 2, 4), attention_mask=pixels)


def test_initializers_may_be_objects():
    """Their config is what the layer's config holds, so it can be saved."""
    layer = maskkit.create(
        "group_query", d_model=4, n_head=2, n_kv_head=1, kernel_initializer=keras.initializers.Ones()
    )
    layer.build((None, None, 4))
    assert numbers(layer.qkv_kernel.value).min() == 1
    assert layer.get_config()["kernel_initializer"]["class_name"] == "Ones"
    assert maskkit.from_dict(maskkit.to_dict(layer.config)) == layer.config


def test_regularizers_add_losses():
    layer = maskkit.create("multi_head", embed_dim=4, num_heads=2, kernel_regularizer="l2", use_bias=True)
    layer(normal(1, 2, 4))
    assert len(layer.losses) == 2


def test_weights_of_ones_own_are_read_as_those_of_attend():
    """With the same dropout, of which the layer only says which parameter is its rate."""
    first, second = (maskkit.create("multi_head", embed_dim=8, num_heads=2, dropout_rate=0.5, seed=3) for _ in range(2))
    query, key, value = (ops.convert_to_tensor(normal(2, 5, 2, 4, seed=seed)) for seed in range(3))
    context, weights = first.attend(query, key, value, None, training=True, weights=True)
    np.testing.assert_allclose(numbers(second.read(weights, value, training=True)), numbers(context), atol=1e-6)
    plain = numbers(first.attend(query, key, value, None, training=False)[0])
    np.testing.assert_allclose(numbers(second.read(weights, value)), plain, atol=1e-6)
    assert np.abs(numbers(context) - plain).max() > 0.01


def test_dropouts_of_a_layer_may_be_apart():
    layer = maskkit.create("differential", dim=4, num_heads=1, head_dim=2, dropout=0.5, attention_dropout=0.5, seed=3)
    x = np.ones((8, 8), "float32")
    dropouts = layer.weights_dropout, layer.output_dropout, layer.new_dropout("dropout", apart=1)
    weights, outputs, again = (numbers(dropout(x, training=True)) for dropout in dropouts)
    assert (weights != outputs).any()
    assert (outputs == again).all()
    assert MeanLayer(width=4).weights_dropout is None


def test_custom_objects_are_the_installed_layers():
    """A saved model loads in a program that has imported none of them."""
    found = custom_objects()
    layers = {cls.config_class.name for cls in found.values() if hasattr(cls, "config_class")}
    assert layers == set(maskkit.names("attention"))
    assert found["maskkit>MultiHeadAttention"].__name__ == "MultiHeadAttention"
    assert found["Causal"] is type(maskkit.create("causal", seq_len=3))


CAUSAL = maskkit.create("causal", seq_len=6)
MASKS = [
    CAUSAL,
    CAUSAL & ~maskkit.create("banded", seq_len=6, band_width=3),
    CAUSAL[::-1, 1:],
    maskkit.create("longformer", seq_len=6, window_size=3, global_tokens=[0, 2]),
    maskkit.create("key_padding", lengths=np.array([3, 6], "int32"), seq_len=6),
    maskkit.create("document", ids=[[0, 0, 1, 1, 1, 2]])[0],
    CAUSAL.at(key=[0, 1, 0, 1, -1, 2]).T,
    maskkit.stack([CAUSAL, ~CAUSAL, CAUSAL]),
    maskkit.grid([[CAUSAL, None], [CAUSAL, CAUSAL]]),
    maskkit.from_array(np.eye(6, dtype=bool), true="blocked"),
    maskkit.PaddingMask(lengths=[3, 0, 5], seq_len=5).keys(q_len=2),
]


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: type(mask).__name__)
def test_keras_saves_masks_by_value(mask):
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(mask)))
    again = keras.saving.deserialize_keras_object(saved, custom_objects=custom_objects())
    assert again == mask


def test_a_model_with_a_mask_in_a_layer_of_keras_loads_again(tmp_path):
    inputs = keras.Input((6, 4))
    outputs = keras.layers.MultiHeadAttention(2, 2)(inputs, inputs, attention_mask=MASKS[1])
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects=custom_objects())
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    np.testing.assert_array_equal(numbers(again(x)), numbers(model(x)))
