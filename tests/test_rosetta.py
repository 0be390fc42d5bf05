"""Every installed form holds a mask exactly, or refuses it in words; those that can be read give it back."""

import numpy as np
import pytest
from hypothesis import given
from test_fuzz import cases, fuzz
import maskkit

READ = {
    "hstu": lambda mask: {"k_len": mask.shape[-1]},
    "flashmask": lambda mask: {"q_len": mask.shape[-2]},
    "magi": lambda mask: {"q_len": mask.shape[-2], "k_len": mask.shape[-1]},
    "bitmask": lambda mask: {"length": mask.shape[-1], "axes": mask.axes},
    "bias": lambda mask: {"axes": mask.axes},
    "runs": lambda mask: {"axes": mask.axes},
}
"""Forms that are read, and what they do not tell."""


@pytest.mark.parametrize("form", READ)
def test_masks_come_back(form):
    """2,000 of all forms together."""

    @fuzz(-(-2000 // len(READ)))
    @given(case=cases(sizes=range(1, 20), attention=True))
    def check(case):
        mask = case.mask
        try:
            value = mask.export(form)
        except maskkit.ConfigError as refusal:
            said = str(refusal)
        else:
            said, found = "", maskkit.from_form(form, value, **READ[form](mask)).allowed(form="heads")
            np.testing.assert_array_equal(*np.broadcast_arrays(found, mask.allowed(form="heads")))
        assert not said or any(word in said for word in ("key", "row", "has a batch", "has heads", "intervals"))

    check()


@pytest.mark.parametrize("expression", ["document(lengths=[3, 5, 8])", "causal & document(lengths=[3, 5, 8])"])
def test_packed_documents_come_back(expression):
    mask = maskkit.parse(expression) if "&" not in expression else maskkit.parse(expression, seq_len=16)
    for one in (mask, mask[5:, :]):
        found = maskkit.from_form("varlen", one.export("varlen"))
        np.testing.assert_array_equal(found.allowed(), one.allowed())


def test_ends_that_do_not_ascend_are_refused():
    with pytest.raises(maskkit.ConfigError, match="must ascend from 0"):
        maskkit.from_form("varlen", {"cu_seqlens_q": [0, 3, 2], "cu_seqlens_k": [0, 3, 4], "causal": False})


def test_a_question_mark_lists_every_form():
    found = maskkit.create("sink", seq_len=16, window_size=3).export("?")
    assert found["flex"] is found["hstu"] is found["bias"] is True
    assert "packed documents" in found["varlen"].why
    assert {"flashmask", "magi", "fa4", "xformers", "bitmask", "runs", "splash"} <= set(found)


def test_a_form_that_is_not_there_is_told():
    with pytest.raises(maskkit.ConfigError, match=r"unknown form 'hstuu'.*did you mean 'hstu'"):
        maskkit.from_form("hstuu", None)
