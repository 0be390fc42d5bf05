"""FNet: the contract, the oracle, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_fnet import FNet, FNetFourierTransform
from maskkit_keras.testing import check_attention, golden

BOTH = pytest.mark.parametrize("implementation", ["matrix", "fft"])


def test_contract():
    check_attention(FNet)


@BOTH
@golden("fnet")
def test_golden_fnet(case, implementation):
    """Equal to transformers' FNet, with and without the normalisation, with padding zeroed before and after."""
    x, mask = case.inputs["x"], case.inputs.get("attention_mask")
    for normalize, name in ((False, "y"), (True, "y_normalized")):
        layer = FNetFourierTransform(implementation=implementation, normalize_dft=normalize, dtype="float64")
        case.check(name, layer(x, attention_mask=mask))
        assert layer.weights == []


def mix(x, **params):
    return ops.convert_to_numpy(FNetFourierTransform(**params)(x))


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@BOTH
def test_is_the_real_part_of_the_fourier_transform(implementation):
    x = tokens(2, 7, 6)
    y = mix(x, implementation=implementation, normalize_dft=False)
    np.testing.assert_allclose(y, np.fft.fft2(x).real, atol=1e-4)


@BOTH
def test_a_constant_goes_into_one_place(implementation):
    y = mix(np.ones((1, 5, 4), "float32"), implementation=implementation)
    expected = np.zeros((1, 5, 4))
    expected[0, 0, 0] = np.sqrt(20)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@BOTH
def test_twice_is_half_of_the_tokens_and_half_of_their_mirror(implementation):
    x = tokens(1, 6, 5)
    layer = FNetFourierTransform(implementation=implementation)
    mirrored = np.roll(x[:, ::-1, ::-1], (1, 1), axis=(1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(layer(x))), (x + mirrored) / 2, atol=1e-5)


def test_both_agree_on_long_sequences():
    """Angles stay exact: at 4096 tokens float32 angles taken naively are wrong by 1e-3."""
    x = tokens(1, 4096, 4)
    fft, matrix = (mix(x, implementation=name) for name in ("fft", "matrix"))
    assert np.abs(fft - matrix).max() < 1e-5 * np.abs(fft).max()


@BOTH
def test_one_token_mixes_its_channels(implementation):
    x = tokens(2, 1, 6)
    y = mix(x, implementation=implementation, normalize_dft=False)
    np.testing.assert_allclose(y, np.fft.fft(x).real, atol=1e-5)


def test_a_padded_sample_gives_zeros():
    layer = FNetFourierTransform()
    y = ops.convert_to_numpy(layer(tokens(2, 4, 3), attention_mask=np.array([[1, 1, 1, 0], [0, 0, 0, 0]])))
    assert not y[1].any()
    assert not y[0, 3].any()
    assert y[0, :3].any()


def test_pairs_cannot_be_blocked():
    with pytest.raises(ValueError, match="every output of a Fourier transform sees every token"):
        FNetFourierTransform()(tokens(2, 4, 3), attention_mask=np.ones((1, 4, 4), bool))
