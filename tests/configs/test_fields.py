"""Parameters from plain data: strict, all that is wrong with them at once, and other spellings of them."""

from typing import ClassVar

import numpy as np
import pytest
from attrs import field, frozen
from messages import message_of
import maskkit
from maskkit import AttentionMask, ConfigError, positive


@pytest.mark.parametrize("bad", [True, 2.5, 4.0, "4", None, [4]])
def test_integers_are_integers(bad):
    """No 2.5 -> 2, no True -> 1, no '4' -> 4; through create and through the class alike."""
    assert f"seq_len must be an integer, got {bad!r}" in message_of(maskkit.create, "causal", seq_len=bad)
    with pytest.raises(maskkit.ConfigError, match="seq_len must be an integer"):
        type(maskkit.create("causal", seq_len=4))(seq_len=bad)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16])
def test_numpy_integers_are_integers(kind):
    mask = maskkit.create("causal", seq_len=kind(7))
    assert mask == maskkit.create("causal", seq_len=7)
    assert type(mask.seq_len) is int


def test_missing_parameters_use_the_known_words():
    assert message_of(maskkit.create, "causal") == "seq_len required for causal mask"
    text = message_of(maskkit.create, "sliding_window", seq_len=128)
    assert text == "window_size required for sliding window mask"


def test_values_out_of_range_use_the_known_words():
    assert (
        message_of(maskkit.create, "sliding_window", seq_len=8, window_size=-1)
        == "window_size must be positive, got -1"
    )
    text = message_of(maskkit.create, "random", seq_len=8, mask_probability=1.5)
    assert text == "mask_probability must be in [0, 1], got 1.5"
    assert "seq_len must be positive, got 0" in message_of(maskkit.create, "causal", seq_len=0)
    assert "mask_probability must be a number" in message_of(
        maskkit.create, "random", seq_len=8, mask_probability=float("nan")
    )


def test_integers_beyond_64_bits_are_out_of_range():
    text = message_of(maskkit.create, "sliding_window", seq_len=4, window_size=2**53)
    assert text == f"window_size must be positive, got {2**53}; integers must be less than 2**53"
    largest = maskkit.create("sliding_window", seq_len=4, window_size=2**53 - 1)
    np.testing.assert_array_equal(largest, maskkit.create("causal", seq_len=4))


def test_unknown_parameters_say_the_nearest():
    text = message_of(maskkit.create, "sliding_window", seq_len=8, windw_size=3, window_size=2)
    assert (
        text
        == "unknown parameter 'windw_size'; did you mean 'window_size'? (sliding_window takes seq_len, window_size)"
    )


def test_all_problems_come_at_once():
    text = message_of(maskkit.create, "random", seq_len=2.5, mask_probability=7, sed=1)
    assert "3 problems" in text
    for part in ("seq_len must be an integer", "mask_probability must be in [0, 1]", "did you mean 'seed'"):
        assert part in text
    both = message_of(maskkit.create, "sliding_window", seq_len=True)
    assert "window_size required" in both
    assert "got True" in both


def test_bad_arrays_are_described_not_printed():
    text = message_of(maskkit.create, "padding", padding_mask=np.zeros((4, 5)))
    assert text == ("padding_mask must be a boolean array with 2 axes, got an array of shape (4, 5) and dtype float64")
    text = message_of(maskkit.create, "padding", padding_mask=np.zeros((0, 5), bool))
    assert text.endswith("got an array of shape (0, 5) and dtype bool; no axis may be empty")
    assert "must be a boolean array" in message_of(maskkit.create, "padding", padding_mask="yes")
    ragged = message_of(maskkit.create, "padding", padding_mask=[[True], [True, False]])
    assert ragged == "padding_mask must be a boolean array with 2 axes, got [[True], [True, False]]"
    assert "must be a boolean array" in message_of(maskkit.create, "padding", padding_mask=[[0, 1]])


# -- aliases -----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Windowed(AttentionMask):
    """A query sees its neighbours.

    Attributes:
        seq_len: number of tokens.
        radius: how many on either side.
    """

    name = "windowed_for_this_test"
    aliases: ClassVar = {"window": "radius"}
    seq_len: int = field(validator=positive)
    radius: int = field(default=1, validator=positive)

    def allows(self, q, k):
        return abs(q - k) <= self.radius


@pytest.fixture
def _windowed():
    with maskkit.register(Windowed):
        yield


@pytest.mark.usefixtures("_windowed")
def test_an_alias_means_the_parameter():
    built = maskkit.create({"type": "windowed_for_this_test", "seq_len": 4, "window": 2})
    assert built == Windowed(seq_len=4, radius=2)
    assert maskkit.to_dict(built) == {"type": "windowed_for_this_test", "seq_len": 4, "radius": 2}


@pytest.mark.usefixtures("_windowed")
def test_two_spellings_of_one_parameter_are_an_error():
    with pytest.raises(ConfigError, match="'window' and 'radius' are the same parameter; give one of them"):
        maskkit.create("windowed_for_this_test", seq_len=4, window=2, radius=2)


@pytest.mark.usefixtures("_windowed")
def test_an_alias_is_validated_as_the_parameter_and_suggested_like_one():
    with pytest.raises(ConfigError, match="radius must be positive, got 0"):
        maskkit.create("windowed_for_this_test", seq_len=4, window=0)
    with pytest.raises(ConfigError, match="unknown parameter 'windw'; did you mean 'window'"):
        maskkit.create("windowed_for_this_test", seq_len=4, windw=2)
