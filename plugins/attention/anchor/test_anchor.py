"""Anchor: the contract, the oracle, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_anchor import Anchor, AnchorAttention
from maskkit_keras.testing import check_attention, golden, head_kernel, output_kernel, stacked_bias, stacked_kernel

X = np.random.default_rng(0).normal(size=(2, 7, 12)).astype("float32")


def test_contract():
    check_attention(Anchor)


@golden("anchor")
def test_golden_anchor(case):
    """Equal to torch with all keys but the anchors blocked: one, some, all anchors, and with padding."""
    x, w, heads = case.inputs["x"], case.weights, case.params["num_heads"]
    layer = case.build(AnchorAttention, x.shape)
    query, key_value = np.split(w["in_proj_weight"], [x.shape[-1]])
    query_bias, kv_bias = np.split(w["in_proj_bias"], [x.shape[-1]])
    weights = {
        "query_kernel": head_kernel(query, heads),
        "query_bias": query_bias.reshape(heads, -1),
        "kv_kernel": stacked_kernel(key_value, 2, heads),
        "kv_bias": stacked_bias(kv_bias, 2, heads),
        "output_kernel": output_kernel(w["out_proj.weight"], heads),
        "output_bias": w["out_proj.bias"],
    }
    case.transplant(layer, weights)
    anchors, mask = case.settings["num_anchor_tokens"], case.inputs.get("attention_mask")
    case.check("y", layer(x, num_anchor_tokens=anchors, attention_mask=mask))


def run(layer, x, **options):
    return ops.convert_to_numpy(layer(x, **options))


@pytest.mark.parametrize("separate", [False, True])
def test_anchors_attend_among_themselves(separate):
    """The first outputs are those of self-attention of the anchors alone."""
    layer = AnchorAttention(dim=12, num_heads=3, separate_query_projection=separate)
    alone = run(layer, X[:, :3])
    np.testing.assert_allclose(run(layer, X, num_anchor_tokens=3)[:, :3], alone, atol=1e-6)


def test_other_tokens_do_not_see_each_other():
    layer = AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=3)
    changed = X.copy()
    changed[:, 5] += 1
    before, after = run(layer, X), run(layer, changed)
    rest = np.arange(7) != 5
    np.testing.assert_allclose(after[:, rest], before[:, rest], atol=1e-6)
    assert np.abs(after[:, 5] - before[:, 5]).max() > 1e-3


@pytest.mark.parametrize("anchors", [7, 100])
@pytest.mark.parametrize("separate", [False, True])
def test_all_tokens_as_anchors_are_self_attention(anchors, separate):
    """As many anchors as tokens, or more, are the same model as none at all."""
    layer = AnchorAttention(dim=12, num_heads=3, separate_query_projection=separate)
    np.testing.assert_allclose(run(layer, X, num_anchor_tokens=anchors), run(layer, X), atol=1e-6)


def test_the_number_in_the_call_wins():
    layer, bare = (AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=n) for n in (2, None))
    layer.build(X.shape)
    bare.build(X.shape)
    bare.set_weights(layer.get_weights())
    np.testing.assert_allclose(run(layer, X), run(bare, X, num_anchor_tokens=2), atol=1e-6)
    np.testing.assert_allclose(run(layer, X, num_anchor_tokens=4), run(bare, X, num_anchor_tokens=4), atol=1e-6)


def test_a_saved_model_keeps_the_number_of_its_call(tmp_path):
    inputs = keras.Input((None, 12))
    model = keras.Model(inputs, AnchorAttention(dim=12, num_heads=3)(inputs, num_anchor_tokens=3))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(loaded, X), run(model, X))
    np.testing.assert_allclose(run(model, X), run(model.layers[-1], X, num_anchor_tokens=3), atol=1e-6)


def test_the_others_have_a_query_projection_of_their_own():
    """With it, anchors keep theirs; equal projections are the shared one."""
    shared, separate = (
        AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=3, separate_query_projection=s) for s in (False, True)
    )
    shared.build(X.shape)
    separate.build(X.shape)
    for weight in shared.weights:
        getattr(separate, weight.name).assign(weight)
    before, after = run(shared, X), run(separate, X)
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-6)
    assert np.abs(after[:, 3:] - before[:, 3:]).max() > 1e-3
    separate.other_query_kernel.assign(separate.query_kernel)
    np.testing.assert_allclose(run(separate, X), before, atol=1e-6)


def test_padded_anchors_give_the_output_bias():
    layer = AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=2)
    layer.build(X.shape)
    layer.output_bias.assign(np.arange(12))
    keep = np.ones((2, 7), bool)
    keep[0, :2] = False
    y, weights = layer(X, attention_mask=keep, return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(y)[0], np.tile(np.arange(12), (7, 1)))
    assert not ops.convert_to_numpy(weights)[0].any()


def test_weights_have_as_many_columns_as_anchors():
    """(B, heads, T, A): nothing of the size T x T is made."""
    layer = AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=2)
    weights = ops.convert_to_numpy(layer(X, return_attention_scores=True)[1])
    assert weights.shape == (2, 3, 7, 2)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_acts_on_weights_while_training(rate, expected):
    """Rate 0 drops nothing, rate 1 everything; without training nothing is dropped."""
    layer = AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=3, dropout=rate)
    calm, trained = (run(layer, X, training=training) for training in (False, True))
    np.testing.assert_allclose(trained, expected * calm, atol=1e-6)
    assert np.abs(calm).max() > 1e-3


def test_heads_may_have_masks_of_their_own():
    layer = AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=3)
    allowed = np.ones((1, 3, 7, 7), bool)
    allowed[:, 1, :, 0] = False
    weights = ops.convert_to_numpy(layer(X, attention_mask=allowed, return_attention_scores=True)[1])
    assert not weights[:, 1, :, 0].any()
    assert weights[:, [0, 2], :, 0].all()


@pytest.mark.parametrize("anchors", [0, -2, 2.5, True])
def test_anchors_are_a_positive_integer(anchors):
    with pytest.raises(ValueError, match=f"Parameter 'num_anchor_tokens' must be .*, got {anchors}"):
        AnchorAttention(dim=12, num_heads=3)(X, num_anchor_tokens=anchors)
    with pytest.raises(ValueError, match=f"Parameter 'num_anchor_tokens' must be .*, got {anchors}"):
        AnchorAttention(dim=12, num_heads=3, num_anchor_tokens=anchors)


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="Parameter 'dim' must be divisible by num_heads=5, got 12"):
        Anchor(dim=12, num_heads=5)


def test_there_is_no_causal_mask():
    """Tokens are a set."""
    with pytest.raises(TypeError, match="use_causal_mask"):
        AnchorAttention(dim=12, num_heads=3)(X, use_causal_mask=True)
