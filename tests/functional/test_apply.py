"""apply_mask: masks laid over inputs of every library, dtype and shape."""

import jax
import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest
import torch
from maskkit import (
    ConfigError,
    apply_mask,
    create,
)

CAUSAL = create("causal", seq_len=4)


LIBRARIES = {
    "numpy": lambda x, dtype: x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype),
    "torch": lambda x, dtype: torch.as_tensor(x).to(getattr(torch, dtype)),
    "jax": jnp.asarray,
    "keras": lambda x, dtype: keras.ops.cast(x, dtype),
}


def booleans(*shape):
    return np.random.default_rng(len(shape)).random(shape) < 0.5


FITTING = {
    "attention": [
        ((5, 6), (5, 6), np.s_[:]),
        ((5, 6), (3, 5, 6), np.s_[:]),
        ((5, 6), (2, 3, 4, 5, 6), np.s_[:]),
        ((2, 5, 6), (2, 5, 6), np.s_[:]),
        ((2, 5, 6), (2, 3, 5, 6), np.s_[:, None]),
        ((2, 5, 6), (2, 3, 4, 5, 6), np.s_[:, None, None]),
        ((1, 5, 6), (2, 3, 5, 6), np.s_[:, None]),
        ((2, 3, 5, 6), (2, 3, 5, 6), np.s_[:]),
        ((2, 1, 5, 6), (2, 3, 5, 6), np.s_[:]),
    ],
    "segmentation": [
        ((3,), (2, 3, 5, 6), np.s_[:, None, None]),
        ((5, 6), (2, 3, 5, 6), np.s_[:]),
        ((2, 3, 5, 6), (2, 3, 5, 6), np.s_[:]),
        ((3,), (3, 3, 3, 3), np.s_[:, None, None]),
    ],
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("mask_type", "mask", "inputs", "key"), [(name, *case) for name, cases in FITTING.items() for case in cases]
)
def test_a_mask_is_laid_over_its_axes(mask_type, mask, inputs, key, library, dtype):
    """Where the mask blocks there is the value, and everywhere else the input, bit by bit."""
    allowed = booleans(*mask)
    given = LIBRARIES[library](np.random.default_rng(0).normal(size=inputs).astype("float32"), dtype)
    masked = apply_mask(given, allowed, mask_value=-5, mask_type=mask_type)
    assert (type(masked), masked.dtype, masked.shape) == (type(given), given.dtype, given.shape)
    np.testing.assert_array_equal(as_float32(masked), np.where(allowed[key], as_float32(given), -5))


def as_float32(x):
    """NumPy's; of Torch's bfloat16, which it does not read, by way of float32."""
    return np.asarray(x.float() if isinstance(x, torch.Tensor) else x, "float32")


@pytest.mark.parametrize(
    ("dtype", "value", "written"),
    [
        ("float16", -1e9, -65504.0),
        ("float16", 1e9, 65504.0),
        ("float16", -np.inf, -np.inf),
        ("bfloat16", -1e39, -3.3895313892515355e38),
        ("float32", -1e9, -1e9),
        ("float32", -1e300, -3.4028234663852886e38),
        ("float32", 0, 0),
    ],
)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_value_is_one_that_the_dtype_can_hold(library, dtype, value, written):
    given = LIBRARIES[library](np.zeros((4, 4), "float32"), dtype)
    masked = apply_mask(given, CAUSAL, mask_value=value)
    assert masked.dtype == given.dtype
    assert float(masked[0, 1]) == written


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_softmax_over_masked_logits_is_finite(dtype):
    """Blocked pairs weigh 0; a row that allows nothing is uniform, and has no gradient."""
    logits = torch.randn(4, 4).to(getattr(torch, dtype)).requires_grad_()
    weights = torch.softmax(apply_mask(logits, CAUSAL & ~create("banded", seq_len=4, band_width=3)), -1)
    weights.square().sum().backward()
    assert weights[2].tolist() == [1, 0, 0, 0]
    assert weights[0].tolist() == [0.25] * 4
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0] == 0).all()


def test_gradients_flow_to_what_is_allowed():
    allowed = np.asarray(CAUSAL).astype("float32")
    logits = torch.randn(2, 4, 4, requires_grad=True)
    apply_mask(logits, CAUSAL).sum().backward()
    np.testing.assert_array_equal(logits.grad, np.broadcast_to(allowed, (2, 4, 4)))
    grad = jax.grad(lambda x: apply_mask(x, CAUSAL).sum())(jnp.ones((2, 4, 4)))
    np.testing.assert_array_equal(grad, np.broadcast_to(allowed, (2, 4, 4)))


def test_inputs_stay_on_their_device():
    for mask in (CAUSAL, np.asarray(CAUSAL), torch.ones(4, 4, dtype=torch.bool, device="meta")):
        assert apply_mask(torch.zeros(4, 4, device="meta"), mask).device.type == "meta"


def test_it_compiles():
    """To one whole graph in Torch; in JAX with a mask that is an argument, too."""
    expected = apply_mask(np.zeros((4, 4), "float32"), CAUSAL)
    compiled = torch.compile(lambda x: apply_mask(x, CAUSAL), backend="eager", fullgraph=True)
    np.testing.assert_array_equal(compiled(torch.zeros(4, 4)), expected)
    zeros = jnp.zeros((4, 4), "float32")
    np.testing.assert_array_equal(jax.jit(lambda x: apply_mask(x, CAUSAL))(zeros), expected)
    np.testing.assert_array_equal(jax.jit(apply_mask)(zeros, jnp.asarray(CAUSAL)), expected)


def test_symbolic_tensors_of_keras_are_masked():
    inputs = keras.Input((2, 4, 4))
    model = keras.Model(inputs, keras.ops.sum(apply_mask(inputs, CAUSAL), axis=1))
    expected = 2 * apply_mask(np.zeros((1, 4, 4), "float32"), CAUSAL)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(np.zeros((1, 2, 4, 4), "float32"))), expected)


def test_without_a_type_the_mask_decides():
    """Masks know what they are; over the last two axes both readings are the same."""
    square = np.zeros((4, 4, 4, 4), "float32")
    queries, pixels = create("valid_query", num_queries=4, valid_queries=2), booleans(4, 4)
    np.testing.assert_array_equal(apply_mask(square, queries), apply_mask(square, queries, mask_type="segmentation"))
    np.testing.assert_array_equal(apply_mask(square, pixels), apply_mask(square, pixels, mask_type="segmentation"))
    np.testing.assert_array_equal(apply_mask(square, pixels), apply_mask(square, pixels, mask_type="attention"))
    batched = create("padding", padding_mask=booleans(4, 4))
    np.testing.assert_array_equal(apply_mask(square, batched), apply_mask(square, batched, mask_type="attention"))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4)])
def test_an_array_that_can_be_read_in_two_ways_is_refused(shape):
    with pytest.raises(ConfigError, match=r"two ways; give mask_type='attention' or mask_type='segmentation'"):
        apply_mask(np.zeros((4, 4, 4, 4)), booleans(*shape))


@pytest.mark.parametrize(
    ("mask_type", "mask", "inputs"),
    [
        ("attention", (4, 4), (2, 5, 5)),
        ("attention", (1, 4), (4, 4)),
        ("attention", (3, 4, 4), (2, 3, 4, 4)),
        ("attention", (2, 4, 4), (4, 4)),
        ("attention", (2, 1, 4, 4), (2, 4, 4)),
        ("attention", (4,), (4,)),
        ("attention", (2, 1, 1, 4), (2, 3, 4, 4)),
        ("segmentation", (2,), (2, 3, 4, 5)),
        ("segmentation", (3, 4, 5), (2, 3, 4, 5)),
        ("segmentation", (5, 4), (2, 3, 4, 5)),
        ("segmentation", (1, 3, 4, 5), (2, 3, 4, 5)),
        ("segmentation", (3,), (3, 4, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_both(mask_type, mask, inputs):
    with pytest.raises(ConfigError) as error:
        apply_mask(np.zeros(inputs), booleans(*mask), mask_type=mask_type)
    assert f"a mask of shape {mask} does not fit inputs of shape {inputs}: " in str(error.value)
    assert "such as" in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "options", "words"),
    [
        (np.zeros((4, 4), "int32"), {}, "inputs must be floating, got an array .* dtype int32; .* convert"),
        (torch.zeros(4, 4, dtype=torch.bool), {}, "inputs must be floating, .* dtype torch.bool"),
        (jnp.zeros((4, 4), "int8"), {}, "inputs must be floating"),
        (np.zeros((4, 4), "complex64"), {}, "inputs must be floating"),
        ([[0.0]], {}, "inputs must be a floating array, got list"),
        (np.zeros((4, 4)), {"mask_value": "low"}, "mask_value must be a number, got 'low'"),
        (np.zeros((4, 4)), {"mask_value": np.nan}, "mask_value must be a number, got nan"),
        (np.zeros((4, 4)), {"mask_type": "atention"}, "did you mean 'attention'"),
    ],
)
def test_what_no_value_can_be_written_into_is_refused(inputs, options, words):
    with pytest.raises(ConfigError, match=words):
        apply_mask(inputs, CAUSAL, **options)
