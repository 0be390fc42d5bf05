"""Attention block: the contract, the oracle, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_attention_block import AttentionBlock, AttentionBlockConfig
import maskkit
from maskkit_keras.testing import check_attention, golden, output_kernel, stacked_bias, stacked_kernel

X = np.random.default_rng(0).normal(size=(2, 4, 3, 6)).astype("float32")
TYPES = ("multi_head", "window", "group_query", "differential")


def numbers(x):
    return ops.convert_to_numpy(x)


def block(**params):
    return AttentionBlock(**{"dim": 6, "num_heads": 2, "layer_scale_init": 1.0, **params})


def test_contract():
    check_attention(AttentionBlockConfig)


@golden("attention_block")
def test_golden_attention_block(case):
    """Equal to timm, with and without layer scale, and with blocked pixels."""
    x, w, heads = case.inputs["x"], case.weights, case.params["num_heads"]
    layer = case.build(AttentionBlock, x.shape)
    weights = {
        "attention/qkv_kernel": stacked_kernel(w["attn.qkv.weight"], 3, heads),
        "attention/qkv_bias": stacked_bias(w["attn.qkv.bias"], 3, heads),
        "attention/output_kernel": output_kernel(w["attn.proj.weight"], heads),
        "attention/output_bias": w["attn.proj.bias"],
        "attention_norm/gamma": w["norm1.weight"],
        "attention_norm/beta": w["norm1.bias"],
        "mlp_norm/gamma": w["norm2.weight"],
        "mlp_norm/beta": w["norm2.bias"],
        "hidden_kernel": w["mlp.fc1.weight"].T,
        "hidden_bias": w["mlp.fc1.bias"],
        "output_kernel": w["mlp.fc2.weight"].T,
        "output_bias": w["mlp.fc2.bias"],
    }
    if "ls1.gamma" in w:
        weights |= {"attention_scale": w["ls1.gamma"], "mlp_scale": w["ls2.gamma"]}
    case.transplant(layer, weights)
    case.check("y", layer(x, attention_mask=case.inputs.get("attention_mask")))


def test_at_the_start_a_stack_hands_its_input_on():
    """The scales multiply the branches, not what goes around them."""
    y = X
    for _ in range(3):
        y = AttentionBlock(dim=6, num_heads=2)(y)
    np.testing.assert_allclose(numbers(y), X, atol=1e-2)


def test_scales_start_at_the_given_number_and_may_turn_negative():
    layer = AttentionBlock(dim=6, num_heads=2)
    layer.build(X.shape)
    for scale in (layer.attention_scale, layer.mlp_scale):
        np.testing.assert_array_equal(numbers(scale), np.full(6, 1e-4, "float32"))
        assert scale.constraint is None
    without = AttentionBlock(dim=6, num_heads=2, use_layer_scale=False)
    without.build(X.shape)
    assert len(layer.weights) - len(without.weights) == 2


def test_pre_and_post_are_made_of_the_same_parts():
    """Before: z = x + g1 A(LN1 x), y = z + g2 M(LN2 z); after: z = LN1(x + g1 A x), y = LN2(z + g2 M z)."""
    pre, post = (block(normalization_position=position, layer_scale_init=0.5) for position in ("pre", "post"))
    pre.build(X.shape)
    post.build(X.shape)
    post.set_weights(pre.get_weights())

    def attend(x):
        return 0.5 * ops.reshape(pre.attention(ops.reshape(x, (2, 12, 6))), (2, 4, 3, 6))

    def think(x):
        hidden = ops.gelu(x @ ops.convert_to_tensor(pre.hidden_kernel) + pre.hidden_bias, approximate=False)
        return 0.5 * (hidden @ ops.convert_to_tensor(pre.output_kernel) + pre.output_bias)

    x = ops.convert_to_tensor(X)
    z = x + attend(pre.attention_norm(x))
    np.testing.assert_allclose(numbers(pre(X)), numbers(z + think(pre.mlp_norm(z))), atol=1e-5)
    z = post.attention_norm(x + attend(x))
    np.testing.assert_allclose(numbers(post(X)), numbers(post.mlp_norm(z + think(z))), atol=1e-5)


@pytest.mark.parametrize("name", TYPES)
def test_both_spellings_of_a_type_are_the_same(name):
    layers = [block(attention_type=name + end) for end in ("", "_attention")]
    for layer in layers:
        layer.build(X.shape)
    layers[1].set_weights(layers[0].get_weights())
    first, second = (numbers(layer(X)) for layer in layers)
    np.testing.assert_array_equal(first, second)
    assert type(layers[0].attention) is type(layers[1].attention) is maskkit.get_attention_info()[name]["class"]


def test_the_layers_inside_have_the_stated_defaults():
    config = {name: block(attention_type=name, dropout_rate=0.25, seed=3).attention.get_config() for name in TYPES}
    assert config["multi_head"]["use_bias"]
    assert config["window"]["window_size"] == 7
    assert config["group_query"]["n_kv_head"] == 2
    assert config["group_query"]["rope_percentage"] == 0
    assert config["differential"]["head_dim"] == 3
    rates = dict(multi_head="dropout_rate", window="attn_dropout_rate", group_query="dropout_rate")
    rates["differential"] = "attention_dropout"
    assert [config[name][rates[name]] for name in TYPES] == [0.25] * 4
    assert config["differential"]["dropout"] == config["window"]["proj_dropout_rate"] == 0
    assert [config[name]["seed"] for name in TYPES] == [3] * 4


def test_attention_args_win():
    layer = block(attention_type="window", attention_args={"window_size": 2, "shift_size": 1, "qkv_bias": False})
    inner = layer.attention
    assert (inner.window_size, inner.shift_size, inner.qkv_bias, inner.proj_bias) == (2, 1, False, True)
    assert layer.get_config()["attention_args"] == {"window_size": 2, "shift_size": 1, "qkv_bias": False}


def test_windows_get_the_map():
    """Of any size: pixels of another window are not seen."""
    layer = block(attention_type="window", attention_args={"window_size": 2})
    before, changed = numbers(layer(X)), X.copy()
    changed[:, :2, :2] += np.random.default_rng(1).normal(size=(2, 2, 2, 6))
    np.testing.assert_array_equal(numbers(layer(changed))[:, 2:], before[:, 2:])


def test_grouped_queries_take_maps_of_any_size():
    """There are no rotary positions, so their longest sequence is no limit."""
    layer = AttentionBlock(dim=2, num_heads=1, attention_type="group_query", mlp_ratio=1)
    assert tuple(layer(np.ones((1, 47, 47, 2), "float32")).shape) == (1, 47, 47, 2)


@pytest.mark.parametrize("name", TYPES)
def test_blocked_pixels_are_unseen_in_every_type(name):
    """As a map or flat, given or carried along."""
    layer = block(attention_type=name)
    keep = np.random.default_rng(2).random((2, 4, 3)) < 0.5
    changed = np.where(keep[..., None], X, X + np.random.default_rng(3).normal(size=X.shape).astype("float32"))
    expected = numbers(layer(X, attention_mask=keep))
    for mask in ({"attention_mask": keep}, {"attention_mask": keep.reshape(2, 12)}, {"mask": keep}):
        np.testing.assert_allclose(numbers(layer(changed, **mask))[keep], expected[keep], atol=1e-5)
    assert np.abs(numbers(layer(changed)) - numbers(layer(X)))[keep].max() > 1e-3


@pytest.mark.parametrize("name", ["multi_head", "group_query", "differential"])
def test_pairs_and_pixels_are_both_obeyed(name):
    layer = block(attention_type=name)
    pairs, keep = np.random.default_rng(4).random((1, 12, 12)) < 0.5, np.random.default_rng(5).random((2, 4, 3)) < 0.5
    both = pairs & keep.reshape(2, 1, 12)
    expected = numbers(layer(X, attention_mask=both))
    np.testing.assert_allclose(numbers(layer(X, attention_mask=pairs, mask=keep)), expected, atol=1e-5)
    assert np.abs(numbers(layer(X, attention_mask=pairs)) - expected).max() > 1e-3


def test_windows_take_no_mask_of_pairs():
    with pytest.raises(ValueError, match=r"\(batch, 4, 3\) or \(batch, 12\), as the map has, got \(1, 12, 12\)"):
        block(attention_type="window")(X, attention_mask=np.ones((1, 12, 12), bool))


def test_masks_of_another_size_are_refused():
    for shape in ((2, 5, 5), (2, 11)):
        with pytest.raises(ValueError, match="'attention_mask'"):
            block()(X, attention_mask=np.ones(shape, bool))


def test_dropout_acts_on_both_branches_while_training():
    """At rate 1 only what goes around them is left."""
    layer = block(dropout_rate=1.0)
    np.testing.assert_array_equal(numbers(layer(X, training=True)), X)
    assert np.abs(numbers(layer(X, training=False)) - X).max() > 1e-2


def test_without_biases_there_are_none():
    for name in TYPES:
        layer = block(attention_type=name, use_bias=False)
        layer.build(X.shape)
        assert not [w.path for w in layer.weights if "bias" in w.path]


def test_the_factory_examples():
    """Its own parameter `attention_type` is not the factory's; a configuration file may give a rate of dropout."""
    layer = maskkit.create_attention_layer("attention_block", dim=256, num_heads=4, attention_type="window_attention")
    assert layer.attention.window_size == 7
    layer = maskkit.create_attention_from_config(
        {"type": "attention_block", "dim": 384, "num_heads": 6, "dropout_rate": 0.1}
    )
    assert layer.attention.dropout_rate == 0.1
    layer = maskkit.create_attention_from_config({"type": "attention_block", "dim": 8, "attention_type": "window"})
    assert layer.attention.window_size == 7
    maskkit.validate_attention_config("attention_block", dim=8, attention_type="differential_attention")


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (dict(dim=6, num_heads=4), "Parameter 'dim' must be divisible by num_heads=4, got 6"),
        (dict(num_heads=0), "Parameter 'num_heads' must be positive, got 0"),
        (
            dict(attention_type="windowed"),
            "'attention_type' must be one of 'multi_head', .*'windowed'.*did you mean",
        ),
        (dict(attention_type="attention_block"), "Parameter 'attention_type' must be one of"),
        (dict(layer_scale_init=0.0), "Parameter 'layer_scale_init' must be positive, got 0.0"),
        (dict(mlp_ratio=0.0), "Parameter 'mlp_ratio' must be positive, got 0.0"),
        (dict(mlp_ratio=0.1), "Parameter 'mlp_ratio' must be at least 1 / dim = 1 / 6, got 0.1"),
        (dict(normalization_position="mid"), "'normalization_position' must be one of 'pre', 'post', got 'mid'"),
        (dict(dropout_rate=1.5), "Parameter 'dropout_rate' must be between 0.0 and 1.0, got 1.5"),
        (
            dict(attention_type="window", attention_args={"windw_size": 3}),
            r"'attention_args' must be parameters of 'window', got .*did you mean 'window_size'",
        ),
    ],
)
def test_refused(params, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        block(**params)


def test_wrong_width_names_both():
    with pytest.raises(ValueError, match=r"dim=6, but its input has the shape \(2, 4, 3, 8\)"):
        block()(np.ones((2, 4, 3, 8), "float32"))
