"""Names of items: short and full, unknown, and registered by hand."""

import numpy as np
import pytest
from attrs import define, field, frozen
from messages import message_of
import maskkit
from maskkit import AttentionMask, Item, positive
from maskkit.testing import check_plugin


@pytest.mark.parametrize("name", ["causal", "mask.causal"])
def test_short_and_full_names(name):
    assert maskkit.create(name, seq_len=4).shape == (4, 4)
    assert maskkit.create("causal", kind="mask", seq_len=4) == maskkit.create(name, seq_len=4)


def test_names_come_sorted():
    full = maskkit.names()
    assert full == sorted(full)
    assert "mask.causal" in full
    assert "causal" in maskkit.names("mask")
    with pytest.raises(maskkit.ConfigError, match="kind must be one of"):
        maskkit.names("masks")


def test_unknown_names_say_the_nearest_and_how_to_list():
    text = message_of(maskkit.create, "causl", seq_len=3, error=maskkit.UnknownName)
    assert "'causl'" in text
    assert "did you mean 'causal'" in text
    assert "maskkit list" in text
    with pytest.raises(LookupError):
        maskkit.create("nothing_like_it")
    with pytest.raises(ValueError, match="Unknown attention type 'vanilla_attention'"):
        maskkit.create("vanilla_attention", kind="attention")


def test_a_name_of_another_kind_is_pointed_out():
    text = message_of(maskkit.create, "causal", kind="strategy", error=maskkit.UnknownName)
    assert "there is mask.causal" in text


@pytest.mark.parametrize("kind", [3, "masks", ["mask"]])
def test_kinds_must_be_known(kind):
    assert "kind must be one of 'mask'" in message_of(maskkit.create, "causal", kind=kind, seq_len=4)


@pytest.mark.parametrize("name", [3, None, ["causal"]])
def test_names_must_be_strings(name):
    assert "a name must be a string" in message_of(maskkit.create, name)


@frozen(kw_only=True)
class Antidiagonal(AttentionMask):
    """Query q may see key n - 1 - q.

    Attributes:
        seq_len: number of tokens.
    """

    name = "antidiagonal"
    samples = (dict(seq_len=5),)
    seq_len: int = field(validator=positive)

    def allows(self, q, k):
        return q + k == self.seq_len - 1


def test_register_adds_an_item_without_a_package():
    with maskkit.register(Antidiagonal):
        assert "antidiagonal" in maskkit.names("mask")
        mask = maskkit.create("antidiagonal", seq_len=4)
        np.testing.assert_array_equal(mask, np.eye(4, dtype=bool)[::-1])
        assert maskkit.from_dict(maskkit.to_dict(mask)) == mask
        assert maskkit.info("antidiagonal").summary == "Query q may see key n - 1 - q."
        check_plugin(Antidiagonal)
    with pytest.raises(maskkit.UnknownName):
        maskkit.create("antidiagonal", seq_len=4)


def test_register_refuses_what_breaks_the_contract():
    class Plain(AttentionMask):
        name = "plain"

    @define
    class Thawed(AttentionMask):
        name = "thawed"

    @frozen
    class Nameless(AttentionMask):
        pass

    @frozen
    class Causal(AttentionMask):
        name = "causal"

    @frozen
    class Kindless(Item):
        name = "kindless"

    @frozen
    class NoLayer(Item):
        name, kind = "no_layer", "attention"

    @frozen
    class Stranger(Item):
        name, kind = "stranger", "strange"

    for cls, words in (
        (Kindless, "Kindless has no kind; derive it from a base class that has"),
        (NoLayer, "NoLayer does not derive from Attention"),
        (Stranger, "kind must be one of 'mask', 'attention', 'strategy', 'kernel', got 'strange'"),
        (Plain, "not decorated with @attrs.frozen"),
        (Thawed, "must be frozen"),
        (Nameless, "needs a class attribute name"),
        (Causal, "mask.causal is offered by maskkit-mask-causal"),
        (dict, "does not derive|not a class that derives"),
        (3, "not a class that derives"),
    ):
        with pytest.raises(maskkit.ConfigError, match=words):
            maskkit.register(cls)
