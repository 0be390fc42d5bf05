"""Other spellings of parameters: a class names them, configs may use them, and saved configs do not."""

from typing import ClassVar

import pytest
from attrs import field, frozen
import maskkit
from maskkit import AttentionMask, ConfigError, positive


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


@pytest.fixture(autouse=True)
def _registered():
    with maskkit.register(Windowed):
        yield


def test_an_alias_means_the_parameter():
    built = maskkit.create({"type": "windowed_for_this_test", "seq_len": 4, "window": 2})
    assert built == Windowed(seq_len=4, radius=2)
    assert maskkit.to_dict(built) == {"type": "windowed_for_this_test", "seq_len": 4, "radius": 2}


def test_two_spellings_of_one_parameter_are_an_error():
    with pytest.raises(ConfigError, match="'window' and 'radius' are the same parameter; give one of them"):
        maskkit.create("windowed_for_this_test", seq_len=4, window=2, radius=2)


def test_an_alias_is_validated_as_the_parameter_and_suggested_like_one():
    with pytest.raises(ConfigError, match="radius must be positive, got 0"):
        maskkit.create("windowed_for_this_test", seq_len=4, window=0)
    with pytest.raises(ConfigError, match="unknown parameter 'windw'; did you mean 'window'"):
        maskkit.create("windowed_for_this_test", seq_len=4, windw=2)
