"""Non-local: the contract, the oracles, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_non_local import NonLocal, NonLocalAttention
import maskkit
from maskkit_keras.testing import check_attention, golden

X = np.random.default_rng(0).normal(size=(2, 4, 3, 6)).astype("float32")
MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")


def numbers(x):
    return ops.convert_to_numpy(x)


def stirred(**params):
    """A layer away from its start, which is the identity."""
    layer = NonLocalAttention(**{"attention_channels": 4, "normalization": None, **params})
    layer.build((None, None, None, 6))
    for i, weight in enumerate(layer.weights):
        if "seed" not in weight.path:
            weight.assign(np.random.default_rng(i).normal(size=weight.shape))
    return layer


def test_contract():
    check_attention(NonLocal)


@golden("non_local")
def test_golden_non_local(case):
    """Equal to timm with its batch norm, and to mmcv in all four modes."""
    timm = case.name.startswith("embedded")
    layer = case.build(NonLocalAttention, case.inputs["x"].shape, **({} if timm else {"scale": None}))
    case.transplant(layer, dict(_weights(case.weights, timm)))
    case.check("y", layer(case.inputs["x"]))


def _weights(w, timm):
    theirs = dict(query="t", key="p", value="g", output="z")
    if not timm:
        theirs = dict(query="theta.conv", key="phi.conv", value="g.conv", output="conv_out.conv")
    for ours, name in theirs.items():
        if f"{name}.weight" in w:
            yield f"{ours}_kernel", w[f"{name}.weight"][:, :, 0, 0].T
            yield f"{ours}_bias", w[f"{name}.bias"]
    if timm:
        parts = dict(gamma="weight", beta="bias", moving_mean="running_mean", moving_variance="running_var")
        yield from ((f"norm/{ours}", w[f"norm.{name}"]) for ours, name in parts.items())
    if "concat_project.conv.weight" in w:
        yield "pair_kernel", w["concat_project.conv.weight"].reshape(-1)


def expected(layer, keep):
    """The formulas, for every pixel by itself: what is gathered, before `Wz`."""
    x, rows = X.reshape(2, 12, 6).astype("float64"), []
    g = x @ numbers(layer.value_kernel)
    for b, i in np.ndindex(2, 12):
        j = np.flatnonzero(keep[b])
        if layer.attention_mode == "gaussian":
            f = np.exp(x[b, j] @ x[b, i])
        else:
            theta, phi = x[b, i] @ numbers(layer.query_kernel), x[b, j] @ numbers(layer.key_kernel)
            if layer.attention_mode == "embedded_gaussian":
                f = np.exp(phi @ theta * 4**-0.5)
            elif layer.attention_mode == "dot_product":
                f = phi @ theta
            else:
                pairs = np.concatenate([np.tile(theta, (len(j), 1)), phi], axis=1)
                f = np.maximum(pairs @ numbers(layer.pair_kernel), 0)
        share = f.sum() if "gaussian" in layer.attention_mode else len(j)
        rows.append(f / share @ g[b, j] if len(j) else np.zeros(4))
    return np.reshape(rows, (2, 4, 3, 4))


@pytest.mark.parametrize("mode", MODES)
def test_the_formulas_with_blocked_pixels(mode):
    """Averages count the allowed pixels only; a sample in which none is allowed gathers 0."""
    layer = stirred(attention_mode=mode, use_residual=False)
    keep = np.random.default_rng(1).random((2, 12)) < 0.5
    keep[1] = False
    y = numbers(layer(X, attention_mask=keep))
    np.testing.assert_allclose(y, expected(layer, keep) @ numbers(layer.output_kernel), atol=2e-3, rtol=1e-4)
    np.testing.assert_array_equal(y[1], 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("normalization", ["batch", "layer", None])
def test_it_starts_as_the_identity(mode, normalization):
    layer = NonLocalAttention(attention_channels=4, attention_mode=mode, normalization=normalization, use_bias=True)
    for training in (False, True):
        np.testing.assert_array_equal(numbers(layer(X, training=training)), X)


@pytest.mark.parametrize("mode", MODES)
def test_no_allowed_pixel_adds_nothing(mode):
    """But for the bias of `Wz`, which is 0 here."""
    y = numbers(stirred(attention_mode=mode)(X, attention_mask=np.zeros((2, 4, 3), bool)))
    np.testing.assert_array_equal(y, X)


@pytest.mark.parametrize("mode", ["dot_product", "concatenation"])
def test_dropped_weights_do_not_change_the_rest(mode):
    """The way with dropout gives what the way without gives, where nothing happens to be dropped."""
    x = X[:, :2, :2]
    calm = stirred(attention_mode=mode)
    risky = stirred(attention_mode=mode, dropout_rate=1e-6, seed=0)
    np.testing.assert_allclose(numbers(risky(x, training=True)), numbers(calm(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_dropout_acts_while_training(mode):
    layer = stirred(attention_mode=mode, dropout_rate=0.5, seed=1)
    calm = numbers(layer(X, training=False))
    np.testing.assert_array_equal(calm, numbers(stirred(attention_mode=mode)(X)))
    assert np.abs(numbers(layer(X, training=True)) - calm).max() > 1e-3


def test_the_scale_is_that_of_the_embedded_gaussian():
    default, same = (stirred(attention_mode="embedded_gaussian", scale=scale) for scale in (None, 0.5))
    np.testing.assert_allclose(numbers(default(X)), numbers(same(X)), atol=1e-5)


def test_embeddings_may_be_narrow():
    """A single channel too: nothing is divided by 8."""
    layer = NonLocalAttention(attention_channels=1, attention_mode="embedded_gaussian")
    layer.build((None, None, None, 6))
    assert tuple(layer.query_kernel.shape) == tuple(layer.key_kernel.shape) == (6, 1)


def test_gaussian_has_no_embeddings():
    layer = NonLocalAttention(attention_channels=4)
    layer.build((None, None, None, 6))
    assert [w.name for w in layer.trainable_weights] == ["value_kernel", "output_kernel", "gamma", "beta"]


def test_unscaled_products_do_not_overflow_in_float16():
    """|x|**2 = 160000 for these pixels."""
    x = np.full((1, 2, 2, 100), 40, "float16")
    layer = NonLocalAttention(attention_channels=2, normalization=None, dtype="float16")
    layer.build(x.shape)
    layer.output_kernel.assign(np.full((2, 100), 1e-3))
    assert np.isfinite(numbers(layer(x))).all()


def test_a_convolution_sees_blocked_pixels_as_zeros():
    """So they are seen by no pixel, not even by a neighbour."""
    layer = stirred(kernel_size=3, attention_mode="dot_product")
    keep = np.random.default_rng(2).random((2, 4, 3)) < 0.5
    changed = np.where(keep[..., None], X, 7.0)
    before, after = (numbers(layer(x, attention_mask=keep)) for x in (X, changed))
    np.testing.assert_allclose(after[keep], before[keep], atol=1e-4)
    assert np.abs(numbers(layer(changed)) - numbers(layer(X)))[keep].max() > 1e-2
    assert tuple(layer.convolution.kernel.shape) == (3, 3, 6, 1)


def test_the_activation_comes_after_the_norm_and_before_the_addition():
    plain, rectified = (stirred(output_activation=name) for name in ("linear", "relu"))
    np.testing.assert_allclose(numbers(rectified(X)), X + np.maximum(numbers(plain(X)) - X, 0), atol=1e-4)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_norms(normalization):
    """Batch norm with its moments, layer norm over the channels; epsilon is 1e-5."""
    plain = stirred(use_residual=False)
    layer = stirred(use_residual=False, normalization=normalization)
    if normalization == "batch":
        layer.norm.moving_variance.assign(np.arange(1.0, 7.0))
    z, axis = numbers(plain(X)), -1
    mean, variance = z.mean(axis, keepdims=True), z.var(axis, keepdims=True)
    if normalization == "batch":
        mean, variance = numbers(layer.norm.moving_mean), numbers(layer.norm.moving_variance)
    y = (z - mean) / np.sqrt(variance + 1e-5) * numbers(layer.norm.gamma) + numbers(layer.norm.beta)
    np.testing.assert_allclose(numbers(layer(X)), y, rtol=1e-3, atol=1e-3)


def test_a_batch_norm_learns_while_training():
    layer = NonLocalAttention(attention_channels=4)
    layer(X, training=True)
    assert numbers(layer.norm.moving_mean).any()
    assert layer.norm.momentum == 0.9


def test_other_output_channels_need_no_residual():
    assert tuple(stirred(output_channels=9, use_residual=False)(X).shape) == (2, 4, 3, 9)
    assert tuple(stirred(output_channels=6)(X).shape) == (2, 4, 3, 6)
    text = "'output_channels' must be -1 or 6, .* with use_residual=True, got 9; use_residual=False"
    with pytest.raises(ValueError, match=text):
        NonLocalAttention(attention_channels=4, output_channels=9)(X)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (dict(attention_channels=0), "Parameter 'attention_channels' must be positive, got 0"),
        (dict(attention_mode="gausian"), "'attention_mode' must be one of 'gaussian', .*got 'gausian'.*did you mean"),
        (dict(normalization="instance"), "'normalization' must be one of 'batch', 'layer', None, got 'instance'"),
        (dict(output_channels=0), "Parameter 'output_channels' must be positive, or -1 .*, got 0"),
        (dict(dropout_rate=1.0), "Parameter 'dropout_rate' must be between 0.0 and 1.0, and less than 1, got 1.0"),
        (dict(dropout_rate=1.5), "Parameter 'dropout_rate' must be between 0.0 and 1.0"),
        (dict(scale=0.0), "Parameter 'scale' must be positive, or None, got 0.0"),
        (dict(kernel_size=0), "Parameter 'kernel_size' must be positive, or None, got 0"),
        (
            dict(output_activation="rely"),
            "Parameter 'output_activation' must be an activation that Keras knows, got 'rely'",
        ),
    ],
)
def test_refused(params, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        NonLocalAttention(**{"attention_channels": 4, **params})


def test_a_mask_of_another_size_names_both():
    with pytest.raises(ValueError, match=r"\(batch, 4, 3\) or \(batch, 12\).* got \(2, 3, 4\)"):
        NonLocalAttention(attention_channels=4)(X, attention_mask=np.ones((2, 3, 4), bool))
