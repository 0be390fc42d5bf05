"""Cosine: the contract, and the facts."""

import numpy as np
from acme_cosine import Cosine, CosineAttention
from maskkit_keras.testing import check_attention, float64


def test_contract():
    check_attention(Cosine)


def test_the_length_of_tokens_does_not_sharpen_attention():
    """Tokens ten times as long give ten times the output: the weights stay."""
    with float64():
        layer = CosineAttention(width=8, heads=2, dtype="float64")
        tokens = 100 * np.random.default_rng(0).normal(size=(2, 6, 8))
        short, long = (np.asarray(layer(scale * tokens).detach()) for scale in (1, 10))
        np.testing.assert_allclose(long, 10 * short, rtol=1e-5)
