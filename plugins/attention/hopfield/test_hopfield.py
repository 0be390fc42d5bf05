"""Hopfield: the contract, the oracle, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_hopfield import Hopfield, HopfieldAttention
from maskkit_keras.testing import check_attention, compiled, golden, head_kernel, output_kernel

RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(2, 3, 8)).astype("float32")
KEY = RANDOM.normal(size=(2, 5, 6)).astype("float32")
VALUE = RANDOM.normal(size=(2, 5, 7)).astype("float32")
STOPS_EARLY = dict(num_heads=2, key_dim=4, update_steps_max=30, update_steps_eps=0.05, beta=1.0)


def test_contract():
    check_attention(Hopfield)


@golden("hopfield")
def test_golden_hopfield(case):
    """Equal to hopfield-layers: 0 to 3 updates, both kinds of mask, norms, and heads that stop at different steps."""
    query, key = case.inputs["query"], case.inputs["key"]
    layer = case.build(HopfieldAttention, [query.shape, key.shape])
    case.transplant(layer, _weights(case))
    mask = case.inputs.get("key_mask")
    if "attention_mask" in case.inputs:
        mask = case.inputs["attention_mask"][None]
    y, weights = layer([query, key], attention_mask=mask, return_attention_scores=True)
    case.check("y", y)
    case.check("weights", weights)
    case.check("y", layer([query, key, key], attention_mask=mask))


def _weights(case):
    w, heads, width = case.weights, case.params["num_heads"], case.params["key_dim"]
    biases = np.split(w["association_core.in_proj_bias"], [heads * width, 2 * heads * width])
    found = {"output_bias": w["association_core.out_proj.bias"]}
    found["output_kernel"] = output_kernel(w["association_core.out_proj.weight"], heads)
    for part, bias in zip(("query", "key", "value"), biases, strict=True):
        found[f"{part}_kernel"] = head_kernel(w[f"association_core.{part[0]}_proj_weight"], heads)
        found[f"{part}_bias"] = bias.reshape(heads, -1)
    if case.params["normalize_patterns"]:
        for ours, theirs in (("query", "state_pattern"), ("key", "stored_pattern"), ("value", "pattern_projection")):
            found[f"{ours}_norm/gamma"] = w[f"norm_{theirs}.weight"]
            found[f"{ours}_norm/beta"] = w[f"norm_{theirs}.bias"]
    return found


def run(layer, inputs, **options):
    return ops.convert_to_numpy(layer(inputs, **options))


def twin(layer, shapes, **changes):
    """A layer with the same weights and other parameters."""
    other = HopfieldAttention(**{**STOPS_EARLY, **changes})
    other.build(shapes)
    other.set_weights(layer.get_weights())
    return other


# -- inputs -----------------------------------------------------------------------------------------------------------


def test_no_update_is_multi_head_attention():
    """Equal to Keras' layer, with queries, keys and values of different widths."""
    layer = HopfieldAttention(num_heads=2, key_dim=4, value_dim=3)
    theirs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, value_dim=3)
    layer([QUERY, KEY, VALUE])
    theirs.build(QUERY.shape, VALUE.shape, KEY.shape)
    theirs.query_dense.kernel.assign(layer.query_kernel)
    theirs.key_dense.kernel.assign(layer.key_kernel)
    theirs.value_dense.kernel.assign(layer.value_kernel)
    theirs.output_dense.kernel.assign(layer.output_kernel)
    # Keras' fused kernel on JAX cannot have values of another width, so its weights are asked for.
    expected = ops.convert_to_numpy(theirs(QUERY, VALUE, KEY, return_attention_scores=True)[0])
    np.testing.assert_allclose(run(layer, [QUERY, KEY, VALUE]), expected, atol=1e-5)


def test_one_input_is_all_three():
    layer = HopfieldAttention(num_heads=2, key_dim=4, update_steps_max=2)
    one = run(layer, QUERY)
    np.testing.assert_allclose(run(layer, [QUERY]), one, atol=1e-6)
    np.testing.assert_allclose(run(layer, [QUERY, QUERY]), one, atol=1e-6)
    np.testing.assert_allclose(run(layer, [QUERY, QUERY, QUERY]), one, atol=1e-6)


def test_four_inputs_are_refused():
    with pytest.raises(ValueError, match="Parameter 'inputs' must be one tensor, or a list of 2 or 3, got 4"):
        HopfieldAttention(num_heads=2, key_dim=4)([QUERY] * 4)


@pytest.mark.parametrize("inputs", [[QUERY, KEY], [QUERY, KEY, VALUE]], ids=len)
def test_a_saved_model_gives_the_same(tmp_path, inputs):
    symbols = [keras.Input((None, x.shape[-1])) for x in inputs]
    layer = HopfieldAttention(num_heads=2, key_dim=4, update_steps_max=2, normalize_patterns=True)
    model = keras.Model(symbols, layer(symbols))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(loaded, inputs), run(model, inputs))
    np.testing.assert_allclose(run(model, inputs), run(layer, inputs), atol=1e-6)


def test_of_carried_masks_that_of_the_keys_counts():
    """Not the first that is there, which would be the query's; that one goes on with the output."""
    layer = HopfieldAttention(num_heads=2, key_dim=4, update_steps_max=2)
    keep = np.array([[1, 1, 0, 0, 1], [0, 1, 1, 1, 1]], bool)
    expected = run(layer, [QUERY, KEY], attention_mask=keep)
    query, key = ops.convert_to_tensor(QUERY), ops.convert_to_tensor(KEY)
    query._keras_mask = ops.convert_to_tensor(np.array([[1, 0, 0], [1, 1, 0]], bool))
    unmasked = run(layer, [query, key])
    np.testing.assert_allclose(unmasked, run(layer, [QUERY, KEY]), atol=1e-6)
    key._keras_mask = ops.convert_to_tensor(keep)
    outputs = layer([query, key])
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs._keras_mask), [[1, 0, 0], [1, 1, 0]])


# -- updates ----------------------------------------------------------------------------------------------------------


def test_an_update_retrieves_a_stored_pattern():
    """With a high beta a noisy query becomes the pattern it is nearest to, and its weights are one-hot."""
    patterns = np.eye(4, dtype="float32")[None]
    noisy = patterns + 0.3 * np.random.default_rng(1).normal(size=(1, 4, 4)).astype("float32")
    layer = HopfieldAttention(num_heads=1, key_dim=4, update_steps_max=3, beta=20.0, use_bias=False)
    layer([noisy, patterns])
    for kernel in (layer.query_kernel, layer.key_kernel, layer.value_kernel):
        kernel.assign(np.eye(4)[:, None, :])
    layer.output_kernel.assign(np.eye(4)[None])
    np.testing.assert_allclose(run(layer, [noisy, patterns]), patterns, atol=1e-4)


def test_a_head_stops_by_itself():
    """Heads stop after different numbers of updates: each has the weights of a layer that makes just so many."""
    layer = HopfieldAttention(**STOPS_EARLY)
    shapes = [QUERY[:1].shape, KEY[:1].shape]
    weights = ops.convert_to_numpy(layer([QUERY[:1], KEY[:1]], return_attention_scores=True)[1])[0]
    steps = []
    for head in range(2):
        before, count = None, 0
        while True:
            fixed = twin(layer, shapes, update_steps_max=count, update_steps_eps=1e-30)
            now = ops.convert_to_numpy(fixed([QUERY[:1], KEY[:1]], return_attention_scores=True)[1])[0, head]
            if before is not None and np.linalg.norm(now - before) <= 0.05:
                break
            before, count = now, count + 1
        steps.append(count)
        np.testing.assert_allclose(weights[head], now, atol=1e-6)
    assert all(0 < count < 30 for count in steps)


def test_samples_stop_by_themselves():
    """A sample's updates do not depend on its batch, though they stop early."""
    layer = HopfieldAttention(**STOPS_EARLY)
    query = QUERY * np.array([0.1, 3.0], "float32")[:, None, None]
    together = run(layer, [query, KEY])
    endless = run(twin(layer, [QUERY.shape, KEY.shape], update_steps_eps=1e-30), [query, KEY])
    assert np.abs(together - endless).max() > 1e-4
    for i in range(2):
        np.testing.assert_allclose(run(layer, [query[i : i + 1], KEY[i : i + 1]])[0], together[i], atol=1e-6)


def test_updates_stay_causal():
    """Also where they stop early: later tokens do not decide when a query stops."""
    layer = HopfieldAttention(**{**STOPS_EARLY, "update_steps_eps": 0.3})
    x = np.random.default_rng(0).normal(size=(1, 8, 8)).astype("float32")
    before = run(layer, x, use_causal_mask=True)
    for scale in (0.0, 1.0, 10.0):
        changed = np.concatenate([x[:, :5], scale * x[:, 5:][:, ::-1]], axis=1)
        np.testing.assert_allclose(run(layer, changed, use_causal_mask=True)[:, :5], before[:, :5], atol=1e-6)


def test_padding_does_not_decide_when_a_head_stops():
    """In self-attention, tokens that a mask drops change nothing, and neither does their number."""
    layer = HopfieldAttention(**{**STOPS_EARLY, "update_steps_eps": 0.3})
    x = np.random.default_rng(0).normal(size=(1, 8, 8)).astype("float32")
    expected = run(layer, x[:, :5])
    for scale in (0.0, 1.0, 10.0):
        padded = np.concatenate([x[:, :5], scale * x[:, 5:]], axis=1)
        y = run(layer, padded, attention_mask=np.arange(8)[None] < 5)
        np.testing.assert_allclose(y[:, :5], expected, atol=1e-6)


def test_one_key_is_found_at_once():
    """S = 1: the weight is 1, and an update changes nothing."""
    layer = HopfieldAttention(num_heads=2, key_dim=4, update_steps_max=3)
    y, weights = layer([QUERY, KEY[:, :1]], return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(weights), 1)
    none = twin(layer, [QUERY.shape, KEY[:, :1].shape], update_steps_max=0)
    np.testing.assert_allclose(ops.convert_to_numpy(y), run(none, [QUERY, KEY[:, :1]]), atol=1e-6)


def test_a_query_that_sees_nothing_stays_finite():
    layer = HopfieldAttention(**STOPS_EARLY)
    allowed = np.ones((1, 3, 5), bool)
    allowed[0, 1] = False
    y, weights = layer([QUERY, KEY], attention_mask=allowed, return_attention_scores=True)
    assert np.isfinite(ops.convert_to_numpy(y)).all()
    assert not ops.convert_to_numpy(weights)[:, :, 1].any()


def test_dropout_acts_after_the_last_update_only():
    """Returned weights are those of inference; what they read is not."""
    layer = HopfieldAttention(num_heads=2, key_dim=4, update_steps_max=2, dropout_rate=0.5, seed=1)
    calm, trained = (layer([QUERY, KEY], training=t, return_attention_scores=True) for t in (False, True))
    np.testing.assert_allclose(ops.convert_to_numpy(trained[1]), ops.convert_to_numpy(calm[1]), atol=1e-6)
    assert np.abs(ops.convert_to_numpy(trained[0]) - ops.convert_to_numpy(calm[0])).max() > 1e-3


def test_early_stops_compile():
    """No control flow depends on data."""
    layer = HopfieldAttention(**STOPS_EARLY)
    expected = run(layer, QUERY)
    traced = compiled(layer, training=False)(ops.convert_to_tensor(QUERY))
    np.testing.assert_allclose(ops.convert_to_numpy(traced), expected, atol=1e-5)


def test_patterns_are_not_normalised_unless_asked():
    layer = HopfieldAttention(num_heads=2, key_dim=4)
    layer.build(QUERY.shape)
    assert not [w for w in layer.weights if "norm" in w.path]


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(update_steps_max=None), "Parameter 'update_steps_max' must be an integer, got None"),
        (dict(update_steps_max=-1), "Parameter 'update_steps_max' must not be negative, got -1"),
        (dict(update_steps_eps=0.0), "Parameter 'update_steps_eps' must be positive, got 0.0"),
        (dict(key_dim=0), "Parameter 'key_dim' must be positive, got 0"),
        (dict(num_heads=0), "Parameter 'num_heads' must be positive, got 0"),
        (dict(value_dim=-3), "Parameter 'value_dim' must be positive, or None, got -3"),
        (dict(beta=0.0), "Parameter 'beta' must be positive, or None, got 0.0"),
        (dict(dropout_rate=1.1), "Parameter 'dropout_rate' must be between 0.0 and 1.0, got 1.1"),
    ],
)
def test_mistakes_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        HopfieldAttention(**{**dict(num_heads=2, key_dim=4), **params})
