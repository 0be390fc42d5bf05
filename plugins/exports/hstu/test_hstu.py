"""Interval functions say of every row what the mask allows, and give it back."""

import numpy as np
import pytest
import maskkit
from maskkit.testing import check_exporter
from maskkit_hstu import Hstu


def test_contract():
    check_exporter(Hstu(), meaning=lambda form, mask: Hstu().read(form, mask.shape[-1]).allowed())


def meaning(functions, keys):
    """What the functions of a plane allow, from the words of the form."""
    rows = functions.shape[1] - 256
    key = np.arange(keys)
    allowed = key < functions[0, :rows, None]
    for first, behind in zip(functions[1::2, :rows], functions[2::2, :rows], strict=True):
        allowed |= (key >= first[:, None]) & (key < behind[:, None])
    return allowed


@pytest.mark.parametrize(
    "expression",
    ["causal", "sliding_window(window_size=5)", "sink(window_size=4)", "dilated(window_size=3, dilation=2)", "~causal"],
)
def test_rows_see_what_the_functions_say(expression):
    mask = maskkit.parse(expression, seq_len=20)
    functions = mask.export("hstu")
    assert functions.dtype == np.int32
    np.testing.assert_array_equal(meaning(functions[0, 0], 20), mask.allowed())


def test_heads_and_samples_have_functions_of_their_own():
    heads = maskkit.stack([maskkit.parse(text, seq_len=9) for text in ("causal", "sink(window_size=3)")])
    mask = heads & maskkit.create("key_padding", lengths=[9, 4, 0], seq_len=9)
    functions = mask.export("hstu")
    assert functions.shape[:2] == (3, 2)
    for sample, head in np.ndindex(3, 2):
        np.testing.assert_array_equal(meaning(functions[sample, head], 9), mask.allowed()[sample, head])


def test_more_functions_than_needed_are_empty():
    mask = maskkit.create("causal", seq_len=9)
    functions = mask.export("hstu", n_func=5)
    assert functions.shape == (1, 1, 5, 265)
    np.testing.assert_array_equal(meaning(functions[0, 0], 9), mask.allowed())


def test_too_few_functions_name_the_row():
    with pytest.raises(maskkit.ConfigError, match=r"got 1; row \d+ needs 3, give n_func=3"):
        maskkit.create("sink", seq_len=20, window_size=4).export("hstu", n_func=1)


def test_what_is_no_such_form_is_refused():
    with pytest.raises(maskkit.ConfigError, match=r"must be \(B, H, 2n - 1, Q \+ 256\), got \(3, 4\)"):
        maskkit.from_form("hstu", np.zeros((3, 4)), k_len=4)
