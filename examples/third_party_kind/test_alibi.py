"""The kind and its one item."""

import numpy as np
from acme_bias import Alibi
import maskkit


def test_a_key_costs_its_distance():
    bias = Alibi(seq_len=4, num_heads=1).values()
    np.testing.assert_allclose(bias[0, 0] * 2**8, [0, -1, -2, -3])


def test_it_is_created_by_name():
    assert maskkit.create("alibi", seq_len=4).shape == (8, 4, 4)
    assert maskkit.names("bias") == ["alibi"]
