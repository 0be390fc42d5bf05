"""Which of xFormers' biases a mask is; the object itself is made where xFormers is, and refused elsewhere."""

import pytest
import maskkit
from maskkit_xformers import Bias, bias_of


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (maskkit.create("causal", seq_len=8), Bias("LowerTriangularMask", "", {})),
        (maskkit.create("causal", seq_len=8)[5:], Bias("LowerTriangularFromBottomRightMask", "", {})),
        (
            maskkit.create("sliding_window", seq_len=8, window_size=3),
            Bias("LocalAttentionFromBottomRightMask", "", {"window_left": 2, "window_right": 0}),
        ),
        (
            maskkit.create("document", lengths=[3, 5]),
            Bias("BlockDiagonalMask", "from_seqlens", {"q_seqlen": [3, 5], "kv_seqlen": [3, 5]}),
        ),
        (
            maskkit.create("document", lengths=[2, 3], key_lengths=[4, 5]),
            Bias("BlockDiagonalMask", "from_seqlens", {"q_seqlen": [2, 3], "kv_seqlen": [4, 5]}),
        ),
        (
            maskkit.parse("causal & document(lengths=[3, 5])", seq_len=8),
            Bias("BlockDiagonalCausalFromBottomRightMask", "from_seqlens", {"q_seqlen": [3, 5], "kv_seqlen": [3, 5]}),
        ),
    ],
)
def test_the_bias_that_says_it(mask, expected):
    assert bias_of(mask) == expected


def test_what_no_bias_says_is_refused_with_the_reasons():
    with pytest.raises(
        maskkit.ConfigError, match=r"is no attention bias of xFormers but a tensor.*is_causal: .*window: "
    ):
        bias_of(maskkit.create("sink", seq_len=16, window_size=3))


def test_without_xformers_it_says_what_it_would_be():
    with pytest.raises(maskkit.ConfigError, match="it would be LowerTriangularMask: pip install xformers"):
        maskkit.create("causal", seq_len=8).export("xformers")


def test_a_window_of_all_that_comes_after_is_refused_in_words():
    with pytest.raises(maskkit.ConfigError, match=r"window: \(0, -1\) is none that it has"):
        bias_of(maskkit.create("causal", seq_len=4).T)
