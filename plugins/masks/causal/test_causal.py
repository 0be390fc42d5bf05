"""Causal: the contract, and the facts."""

import numpy as np
from maskkit_mask_causal import Causal
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Causal)


def test_is_the_lower_triangle():
    """Query q sees exactly the keys 0..q."""
    np.testing.assert_array_equal(Causal(seq_len=7).allowed(), np.tril(np.ones((7, 7), bool)))


def test_one_token_sees_itself():
    assert Causal(seq_len=1).allowed().tolist() == [[True]]
