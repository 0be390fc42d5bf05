"""Shared-weights cross: the contract, the oracle, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_shared_weights_cross import SharedWeightsCross, SharedWeightsCrossAttention
from maskkit_keras.testing import check_attention, golden, output_kernel, stacked_bias, stacked_kernel

X = np.random.default_rng(0).normal(size=(2, 7, 12)).astype("float32")
A, B = X[:, :3], X[:, 3:]


def test_contract():
    check_attention(SharedWeightsCross)


@golden("shared_weights_cross")
def test_golden_shared_weights_cross(case):
    """Equal to torch with a block mask: two and four groups, with and without padding."""
    x, w, heads = case.inputs["x"], case.weights, case.params["num_heads"]
    layer = case.build(SharedWeightsCrossAttention, x.shape)
    weights = {
        "qkv_kernel": stacked_kernel(w["in_proj_weight"], 3, heads),
        "qkv_bias": stacked_bias(w["in_proj_bias"], 3, heads),
        "output_kernel": output_kernel(w["out_proj.weight"], heads),
        "output_bias": w["out_proj.bias"],
    }
    case.transplant(layer, weights)
    mask = case.inputs.get("attention_mask")
    case.check("y", layer(x, split_sizes=case.settings["split_sizes"], attention_mask=mask))


def made(**params):
    layer = SharedWeightsCrossAttention(**{**dict(dim=12, num_heads=3), **params})
    layer.build((None, None, 12))
    return layer


def run(layer, x, **options):
    return ops.convert_to_numpy(layer(x, **options))


def test_swapped_groups_swap_their_outputs():
    layer = made()
    y = run(layer, X, split_sizes=[3, 4])
    swapped = run(layer, np.concatenate([B, A], axis=1), split_sizes=[4, 3])
    np.testing.assert_allclose(swapped, np.concatenate([y[:, 3:], y[:, :3]], axis=1), atol=1e-6)


def test_two_sizes_are_four_without_queries():
    layer = made()
    two = run(layer, X, split_sizes=[3, 4])
    np.testing.assert_allclose(run(layer, X, split_sizes=[3, 0, 4, 0]), two, atol=1e-6)


def test_no_group_reads_itself():
    """A change in A moves only that token of A (its query), and all of B."""
    layer = made(split_sizes=(3, 4))
    changed = X.copy()
    changed[:, 1] += 1
    moved = np.abs(run(layer, changed) - run(layer, X)).max((0, 2)) > 1e-5
    np.testing.assert_array_equal(moved, [False, True, False, True, True, True, True])


def test_only_anchors_are_read():
    """With four sizes, a change in a query moves nothing else."""
    layer = made(split_sizes=(2, 1, 2, 2))
    for token, expected in ((2, [2]), (5, [5]), (3, [0, 1, 2, 3]), (0, [0, 3, 4, 5, 6])):
        changed = X.copy()
        changed[:, token] += 1
        moved = np.abs(run(layer, changed) - run(layer, X)).max((0, 2)) > 1e-5
        assert np.flatnonzero(moved).tolist() == expected


@pytest.mark.parametrize("split", [(0, 7), (7, 0), (0, 3, 0, 4), (0, 0, 7, 0)])
def test_a_group_with_nothing_to_read_gives_the_output_bias(split):
    """Size 0 is a size, and weights are 0 then."""
    layer = made()
    layer.output_bias.assign(np.arange(12))
    y, weights = layer(X, split_sizes=split, return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), np.broadcast_to(np.arange(12), X.shape))
    assert ops.convert_to_numpy(weights).shape == (2, 3, 7, 7)
    assert not ops.convert_to_numpy(weights).any()


def test_only_one_group_may_have_nothing_to_read():
    layer = made(split_sizes=(3, 0, 0, 4))
    layer.output_bias.assign(np.arange(12))
    y = run(layer, X)
    np.testing.assert_array_equal(y[:, :3], np.broadcast_to(np.arange(12), A.shape))
    assert np.abs(y[:, 3:] - np.arange(12)).min() > 0


def test_weights_are_blocks():
    """(B, heads, S, S): rows sum to 1 over the other group's anchors."""
    _, weights = made()(X, split_sizes=[1, 2, 3, 1], return_attention_scores=True)
    weights = ops.convert_to_numpy(weights)
    seen = np.zeros((7, 7), bool)
    seen[:3, 3:6] = seen[3:, :1] = True
    np.testing.assert_array_equal(weights > 0, np.broadcast_to(seen, weights.shape))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


def test_a_mask_comes_on_top_of_the_groups():
    """Pairs, for every head its own."""
    layer = made(split_sizes=(3, 4))
    allowed = np.ones((1, 3, 7, 7), bool)
    allowed[:, 1, 0, 5] = allowed[:, 2, 6, 0] = False
    _, weights = layer(X, attention_mask=allowed, return_attention_scores=True)
    weights = ops.convert_to_numpy(weights)
    assert not weights[:, 1, 0, 5].any()
    assert not weights[:, 2, 6, 0].any()
    assert weights[:, 0, 0, 5].all()
    assert not weights[:, :, :3, :3].any()


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_acts_on_weights_while_training(rate, expected):
    """Rate 0 drops nothing, rate 1 everything; without training nothing is dropped."""
    layer = made(split_sizes=(3, 4), dropout_rate=rate)
    calm, trained = (run(layer, X, training=training) for training in (False, True))
    np.testing.assert_allclose(trained, expected * calm, atol=1e-6)
    assert np.abs(calm).max() > 1e-3


# -- two inputs -------------------------------------------------------------------------------------------------------


def test_two_inputs_are_one_sequence_with_their_sizes():
    layer = made()
    expected = run(layer, X, split_sizes=[3, 4])
    a, b = layer([A, B])
    np.testing.assert_allclose(ops.convert_to_numpy(a), expected[:, :3], atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(b), expected[:, 3:], atol=1e-6)


def test_masks_of_two_inputs_are_carried_through():
    """One of them may be missing; each output has its input's."""
    layer = made()
    keep = np.array([[1, 1, 0, 1], [0, 1, 1, 1]], bool)
    both = np.concatenate([np.ones((2, 3), bool), keep], axis=1)
    expected = run(layer, X, split_sizes=[3, 4], attention_mask=both)
    a, b = ops.convert_to_tensor(A), ops.convert_to_tensor(B)
    b._keras_mask = ops.convert_to_tensor(keep)
    outputs = layer([a, b])
    np.testing.assert_allclose(ops.convert_to_numpy(ops.concatenate(outputs, axis=1)), expected, atol=1e-6)
    assert getattr(outputs[0], "_keras_mask", None) is None
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs[1]._keras_mask), keep)


def test_a_saved_model_of_two_inputs_gives_the_same(tmp_path):
    inputs = [keras.Input((3, 12)), keras.Input((4, 12))]
    model = keras.Model(inputs, SharedWeightsCrossAttention(dim=12, num_heads=3)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for theirs, ours in zip(loaded([A, B]), model([A, B]), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(theirs), ops.convert_to_numpy(ours))


def test_a_saved_model_keeps_the_sizes_of_its_call(tmp_path):
    inputs = keras.Input((7, 12))
    model = keras.Model(inputs, SharedWeightsCrossAttention(dim=12, num_heads=3)(inputs, split_sizes=[3, 4]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(loaded, X), run(model, X))
    np.testing.assert_allclose(run(model, X), run(model.layers[-1], X, split_sizes=[3, 4]), atol=1e-6)


def test_weights_of_two_inputs_in_a_functional_model():
    inputs = [keras.Input((3, 12)), keras.Input((4, 12))]
    (a, b), weights = SharedWeightsCrossAttention(dim=12, num_heads=3)(inputs, return_attention_scores=True)
    model = keras.Model(inputs, [a, b, weights])
    assert [tuple(y.shape)[1:] for y in model([A, B])] == [tuple(y.shape)[1:] for y in (a, b, weights)]


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [[7], [1, 2, 4], [8, -1], [3.0, 4.0], 7])
def test_sizes_are_two_or_four_integers(split):
    with pytest.raises(ValueError, match=r"Parameter 'split_sizes' must be 2 or 4 integers .*, got"):
        made()(X, split_sizes=split)


@pytest.mark.parametrize("split", [(7,), (8, -1), (1, 2, 3, 4, 5)])
def test_sizes_of_the_layer_are_checked_too(split):
    with pytest.raises(ValueError, match=r"Parameter 'split_sizes' must be 2 or 4 integers .*, got \("):
        made(split_sizes=split)


def test_sizes_add_up():
    with pytest.raises(ValueError, match=r"Parameter 'split_sizes' must add up to the 7 tokens .*, got \(3, 3\): 6"):
        made()(X, split_sizes=[3, 3])


def test_sizes_are_needed():
    with pytest.raises(ValueError, match="Parameter 'split_sizes' must be given"):
        made()(X)


def test_two_inputs_have_sizes_of_their_own():
    with pytest.raises(ValueError, match=r"Parameter 'split_sizes' must be None for a list of inputs, got \[3, 4\]"):
        made()([A, B], split_sizes=[3, 4])


def test_three_inputs_are_refused():
    with pytest.raises(ValueError, match="Parameter 'inputs' must be one tensor, or a list of 2, got 3"):
        made()([A, B, A])


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="Parameter 'dim' must be divisible by num_heads=8, got 12"):
        SharedWeightsCross(dim=12)
