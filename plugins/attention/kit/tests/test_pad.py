"""Ragged sequences into one array and the mask that their lengths say."""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
import maskkit
from maskkit import PaddingMask
from maskkit.testing import check_plugin
from maskkit_keras import MaskedEmbedding, pad_sequences

RAGGED = [[1, 2, 3], [4, 5], [], [1, 4, 8, 19]]


@given(
    st.lists(st.lists(st.integers(-9, 9), max_size=6), min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(1, 8)),
    st.sampled_from(["post", "pre"]),
    st.sampled_from(["post", "pre"]),
    st.integers(-2, 2),
)
def test_the_array_is_that_of_keras_and_the_mask_follows_the_lengths(ragged, maxlen, padding, truncating, value):
    padded, mask = pad_sequences(ragged, maxlen, padding, value, truncating=truncating)
    theirs = keras.utils.pad_sequences(ragged, maxlen, padding=padding, truncating=truncating, value=value)
    assert padded.dtype == theirs.dtype
    np.testing.assert_array_equal(padded, theirs)
    length = theirs.shape[1]
    real = [[True] * min(len(s), length) + [False] * (length - len(s)) for s in ragged]
    real = [row[::-1] for row in real] if padding == "pre" else real
    np.testing.assert_array_equal(np.asarray(mask), np.array(real).reshape(theirs.shape))


@pytest.mark.parametrize(("padding", "maxlen"), [*itertools.product(["post", "pre"], [None, 2])])
def test_features_are_padded_as_by_keras(padding, maxlen):
    features = [np.random.default_rng(n).normal(size=(n, 2, 3)) for n in (3, 0, 1)]
    padded, mask = pad_sequences(features, maxlen, padding, value=0.5, dtype="float32")
    theirs = keras.utils.pad_sequences(features, maxlen, "float32", padding, value=0.5)
    assert padded.dtype == theirs.dtype
    np.testing.assert_array_equal(padded, theirs)
    assert mask.shape == theirs.shape[:2]


def test_strings_are_padded_as_by_keras():
    ragged = [["a", "bcd"], ["x"]]
    padded, mask = pad_sequences(ragged, dtype=object, value="")
    assert padded.tolist() == keras.utils.pad_sequences(ragged, dtype=object, padding="post", value="").tolist()
    assert mask.allowed().tolist() == [[True, True], [True, False]]


def test_a_token_that_equals_the_pad_value_stays_real():
    padded, mask = pad_sequences([[0, 7, 0], [7]])
    assert padded.tolist() == [[0, 7, 0], [7, 0, 0]]
    assert np.asarray(mask).tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize(
    ("ragged", "culprit"),
    [
        ([[1, 2], [3], [[4]]], "sequence 2 differs in rank: it has the shape (1, 1), sequence 0 has (2,)"),
        ([[[1]], [2], [3]], "sequence 0 differs in rank: it has the shape (1, 1), sequence 1 has (1,)"),
        ([[], [[1, 2]], [3], [4]], "sequence 1 differs in rank"),
        ([[[1, 2]], [[1, 2, 3]]], "sequence 1 differs in channels: it has the shape (1, 3), sequence 0 has (1, 2)"),
        ([[1], 2], "sequence 1 must have an axis of steps, got 2"),
        (["ab"], "sequence 0 must have an axis of steps, got 'ab'"),
        ([[1], [2, [3]]], "sequence 1 is ragged itself"),
        ([], "at least one sequence, got none"),
        ([[1], [0.5]], "sequence 1 does not fit the dtype 'int32': [0.5]; give another dtype, such as 'float32'"),
        ([[2**40]], "sequence 0 does not fit the dtype 'int32'"),
        ([[float("nan")]], "sequence 0 does not fit the dtype 'int32'"),
        ([["a"]], "sequence 0 does not fit the dtype 'int32': ['a']; give dtype=object"),
    ],
)
def test_the_culprit_is_named(ragged, culprit):
    with pytest.raises(maskkit.ConfigError) as caught:
        pad_sequences(ragged)
    assert culprit in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(maxlen=0), "maxlen must be a positive integer, or None, got 0"),
        (dict(padding="left"), "padding must be one of 'post', 'pre', got 'left'"),
        (dict(truncating=None), "truncating must be one of 'post', 'pre', got None"),
        (dict(value=0.5), "value does not fit the dtype 'int32': 0.5"),
        (dict(value=-1, dtype="uint8"), "value does not fit the dtype 'uint8': -1"),
    ],
)
def test_bad_options_are_named(options, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        pad_sequences(RAGGED, **options)


def test_rounding_of_tokens_is_refused_and_of_floats_is_not():
    with pytest.raises(maskkit.ConfigError, match="sequence 0 does not fit the dtype 'float32'"):
        pad_sequences([[2**24 + 1]], dtype="float32")
    assert pad_sequences([[0.1]], dtype="float32")[0][0, 0] == np.float32(0.1)


# -- the mask ---------------------------------------------------------------------------------------------------------

MASKS = [PaddingMask(**sample) for sample in PaddingMask.samples]


def test_it_keeps_the_contract_of_masks():
    backend = keras.backend.backend()
    check_plugin(PaddingMask, backends=["jax" if backend == "jax" else "keras"])  # Keras has JAX warn of int64


@pytest.mark.parametrize("mask", [*MASKS, ~MASKS[0], MASKS[0][1:, :4], MASKS[0] & MASKS[1]], ids=repr)
def test_it_is_saved_without_loss(mask):
    assert maskkit.from_dict(maskkit.to_dict(mask)) == mask


def test_short_integers_are_lengths_too():
    for padding in ("post", "pre"):
        mask = PaddingMask(lengths=np.array([200, 3], "uint8"), seq_len=300, padding=padding)
        assert mask.allowed().sum(axis=1).tolist() == [200, 3]
        assert np.asarray(mask.allows(np.array([[0], [1]]), np.arange(300))).sum(axis=1).tolist() == [200, 3]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PaddingMask(lengths=[6], seq_len=5), r"lengths must be in 0..seq_len \(0..5\), got 6 for sample 0"),
        (lambda: maskkit.from_dict({"lengths": [1]}), "'lengths' needs padding, seq_len beside it"),
    ],
)
def test_what_is_no_padding_is_refused(make, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        make()


# -- where it goes ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def padded():
    tokens, mask = pad_sequences(RAGGED)
    return ops.convert_to_tensor(np.random.default_rng(0).normal(size=(*tokens.shape, 8)).astype("float32")), mask


@pytest.mark.parametrize("name", ["mask", "attention_mask"])
def test_attention_layers_take_it_as_it_is(padded, name):
    """As a mask of padding, not as one of queries and keys, though batch and steps agree here."""
    x, mask = padded
    assert mask.shape == (4, 4)
    layer = maskkit.create("multi_head", embed_dim=8, num_heads=2)
    y, weights = layer(x, **{name: mask}, return_attention_scores=True)
    expected = layer(x, **{name: np.asarray(mask)})
    np.testing.assert_allclose(ops.convert_to_numpy(y), ops.convert_to_numpy(expected), atol=1e-5)
    blocked = np.broadcast_to(mask.blocked()[:, None, None], weights.shape)
    assert not ops.convert_to_numpy(weights)[blocked].any()


def test_slices_of_it_are_masks_of_padding_too(padded):
    x, mask = padded
    layer = maskkit.create("multi_head", embed_dim=8, num_heads=2)
    part, whole = layer(x[2:], attention_mask=mask[2:]), layer(x, attention_mask=mask)
    np.testing.assert_allclose(ops.convert_to_numpy(part), ops.convert_to_numpy(whole)[2:], atol=1e-6)


def test_other_flat_masks_are_refused_by_layers_of_tokens(padded):
    layer = maskkit.create("multi_head", embed_dim=8, num_heads=2)
    with pytest.raises(maskkit.ConfigError, match="must be a mask of queries and keys, or of padding"):
        layer(padded[0], attention_mask=maskkit.create("mask.spatial", height=4, width=4))


def test_layers_of_keras_take_it(padded):
    x, mask = padded
    layer = keras.layers.GlobalAveragePooling1D()
    expected = [ops.convert_to_numpy(x)[i, :n].mean(axis=0) for i, n in enumerate((3, 2, 0, 4)) if n]
    found = ops.convert_to_numpy(layer(x, mask=ops.convert_to_tensor(mask.allowed())))[[0, 1, 3]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(MaskedEmbedding(5, 2)(ops.zeros((4, 4), "int32"), mask=mask))[..., 0] != 0, mask.allowed()
    )


def test_importing_it_imports_no_framework():
    code = "import sys, maskkit_keras as m; m.pad_sequences([[1]]); print({'keras', 'torch', 'jax'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
