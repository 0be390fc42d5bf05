"""Mobile multi-query: the contract, the oracle, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_mobile_mqa import MobileMQA, MobileMQAConfig
import maskkit
from maskkit_keras.testing import check_attention, golden, head_kernel, output_kernel

X = np.random.default_rng(0).normal(size=(2, 4, 3, 6)).astype("float32")


def numbers(x):
    return ops.convert_to_numpy(x)


def test_contract():
    check_attention(MobileMQAConfig)


@golden("mobile_mqa")
def test_golden_mobile_mqa(case):
    """Equal to timm: with every pixel, with some blocked, and on smaller maps of even and odd size."""
    x, heads = case.inputs["x"], case.params["num_heads"]
    layer = case.build(MobileMQA, x.shape)
    w = {name: array[:, :, 0, 0] for name, array in case.weights.items() if "proj" in name}
    weights = {
        "query_kernel": head_kernel(w["query.proj.weight"], heads),
        "key_kernel": head_kernel(w["key.proj.weight"], 1),
        "value_kernel": head_kernel(w["value.proj.weight"], 1),
        "output_kernel": output_kernel(w["output.proj.weight"], heads),
    }
    if case.params["use_downsampling"]:
        for part in ("key", "value"):
            weights |= _downsampling(part, case.weights)
    case.transplant(layer, weights)
    mask = case.inputs.get("attention_mask")
    y, scores = layer(x, attention_mask=mask, return_attention_scores=True)
    case.check("y", y)
    case.check("y", layer(x, attention_mask=mask))
    rows = -(-x.shape[1] // 2) * -(-x.shape[2] // 2) if case.params["use_downsampling"] else x.shape[1] * x.shape[2]
    assert tuple(scores.shape) == (len(x), heads, x.shape[1] * x.shape[2], rows)


def _downsampling(part, w):
    return {
        f"{part}_convolution/kernel": w[f"{part}.down_conv.weight"].transpose(2, 3, 0, 1),
        f"{part}_norm/gamma": w[f"{part}.norm.weight"],
        f"{part}_norm/beta": w[f"{part}.norm.bias"],
        f"{part}_norm/moving_mean": w[f"{part}.norm.running_mean"],
        f"{part}_norm/moving_variance": w[f"{part}.norm.running_var"],
    }


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (1, 4), (7, 7)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_keys_come_from_a_map_that_is_as_many_times_smaller_rounded_up(shape, stride):
    """Odd maps and maps of one pixel too."""
    layer = MobileMQA(dim=6, num_heads=2, use_downsampling=True, kv_stride=stride)
    y, weights = layer(np.ones((2, *shape, 6), "float32"), return_attention_scores=True)
    keys = -(-shape[0] // stride) * -(-shape[1] // stride)
    assert tuple(y.shape) == (2, *shape, 6)
    assert tuple(weights.shape) == (2, 2, shape[0] * shape[1], keys)


def test_one_pixel_gives_the_value_path():
    layer = MobileMQA(dim=6, num_heads=2)
    x = X[:, :1, :1]
    y = numbers(layer(x))
    value = np.einsum("bhwc,cnd->bhwnd", x, numbers(layer.value_kernel)).repeat(2, axis=3)
    np.testing.assert_allclose(y, np.einsum("bhwnd,ndc->bhwc", value, numbers(layer.output_kernel)), atol=1e-5)


def test_nothing_is_added_to_the_input_or_to_the_output():
    """Without allowed pixels all that comes out are the zeros of the values."""
    y = numbers(MobileMQA(dim=6, num_heads=2)(X, attention_mask=np.zeros((2, 4, 3), bool)))
    np.testing.assert_array_equal(y, 0)


def test_a_mask_may_be_flat():
    layer = MobileMQA(dim=6, num_heads=2)
    keep = np.random.default_rng(1).random((2, 4, 3)) < 0.5
    as_map, flat = (numbers(layer(X, attention_mask=mask)) for mask in (keep, keep.reshape(2, 12)))
    np.testing.assert_array_equal(as_map, flat)
    assert np.abs(as_map - numbers(layer(X))).max() > 1e-3


@pytest.mark.parametrize("name", ["attention_mask", "mask"])
def test_masks_are_refused_where_pixels_are_mixed(name):
    """The one that Keras carries along too: it would be obeyed by nobody."""
    layer = MobileMQA(dim=6, num_heads=2, use_downsampling=True)
    with pytest.raises(ValueError, match=f"'{name}' must be None with use_downsampling=True, got .*\\(2, 4, 3\\)"):
        layer(X, **{name: np.ones((2, 4, 3), bool)})


def test_a_mask_of_another_size_names_both():
    with pytest.raises(ValueError, match=r"\(batch, 4, 3\) or \(batch, 12\).* got \(2, 3, 4\)"):
        MobileMQA(dim=6, num_heads=2)(X, attention_mask=np.ones((2, 3, 4), bool))


def test_there_is_one_head_of_keys_and_values():
    layer = MobileMQA(dim=6, num_heads=3)
    layer.build((None, None, None, 6))
    assert [tuple(w.shape) for w in layer.weights] == [(6, 3, 2), (6, 1, 2), (6, 1, 2), (3, 2, 6)]


def test_batch_norms_learn_while_training():
    """With a momentum of 0.9, from the convolved maps of keys and of values, which are not the same."""
    layer = MobileMQA(dim=6, num_heads=2, use_downsampling=True)
    layer.build(X.shape)
    layer(X, training=True)
    for convolution, norm in ((layer.key_convolution, layer.key_norm), (layer.value_convolution, layer.value_norm)):
        mean = numbers(convolution(X)).mean((0, 1, 2))
        np.testing.assert_allclose(numbers(norm.moving_mean), 0.1 * mean, atol=1e-6)
        assert norm.epsilon == 1e-5
    assert np.abs(numbers(layer.key_norm.moving_mean) - numbers(layer.value_norm.moving_mean)).max() > 1e-4


def test_kernels_start_as_he_normal():
    layer = MobileMQA(dim=256, num_heads=4)
    layer.build((None, None, None, 256))
    assert numbers(layer.query_kernel).std() == pytest.approx((2 / 256) ** 0.5, rel=0.05)


def test_dropout_acts_on_weights_while_training():
    layer = MobileMQA(dim=6, num_heads=2, dropout_rate=1.0)
    np.testing.assert_array_equal(numbers(layer(X, training=True)), 0)
    assert numbers(layer(X, training=False)).any()


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (dict(dim=6, num_heads=4), "Parameter 'dim' must be divisible by num_heads=4, got 6"),
        (dict(dim=0), "Parameter 'dim' must be positive, got 0"),
        (dict(dim=8, num_heads=-8), "Parameter 'num_heads' must be positive, got -8"),
        (dict(dim=8, kv_stride=0), "Parameter 'kv_stride' must be positive, got 0"),
        (dict(dim=8, dw_kernel_size=0), "Parameter 'dw_kernel_size' must be positive, got 0"),
        (dict(dim=8, dropout_rate=1.5), "Parameter 'dropout_rate' must be between 0.0 and 1.0, got 1.5"),
    ],
)
def test_refused(params, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        MobileMQA(**params)


def test_it_is_trained_and_saved_with_its_batch_norms(tmp_path):
    inputs = keras.Input((None, None, 6))
    model = keras.Model(inputs, MobileMQA(dim=6, num_heads=2, use_downsampling=True)(inputs))
    model(X, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numbers(loaded(X)), numbers(model(X)))
