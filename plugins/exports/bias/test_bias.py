"""A bias of zeros and -inf is a mask, another is refused with its place."""

import numpy as np
import pytest
import maskkit
from maskkit.testing import check_exporter
from maskkit_bias import Bias

MASK = maskkit.parse("causal & ~banded(band_width=3)", seq_len=7)


def test_contract():
    check_exporter(Bias(), meaning=lambda form, mask: np.asarray(form) == 0)


@pytest.mark.parametrize("finite", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_it_comes_back(dtype, finite):
    bias = MASK.export("bias", dtype=dtype, finite=finite)
    np.testing.assert_array_equal(maskkit.from_form("bias", bias).allowed(), MASK.allowed())


def test_a_tensor_is_read_too():
    torch = pytest.importorskip("torch")
    bias = torch.zeros(1, 1, 3, 3).masked_fill(torch.ones(3, 3).triu(1).bool(), -1e9)
    mask = maskkit.from_form("bias", bias, blocked_below=-1e4)
    assert mask.axes == ("batch", "head", "query", "key")
    np.testing.assert_array_equal(mask.allowed()[0, 0], np.tri(3))


def test_other_numbers_name_their_place():
    bias = np.zeros((3, 3))
    bias[1, 2] = -0.5
    with pytest.raises(maskkit.ConfigError, match=r"got -0.5 at \(1, 2\); give blocked_below="):
        maskkit.from_form("bias", bias)


def test_booleans_are_no_bias():
    with pytest.raises(
        maskkit.ConfigError, match=r"must be floating, got bool; booleans are read by maskkit.from_array"
    ):
        maskkit.from_form("bias", np.ones((3, 3), bool))
