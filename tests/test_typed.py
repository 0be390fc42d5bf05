"""What an editor and mypy know of the front door; `mypy` reads this file, and pytest runs it."""

from typing import Any, assert_type

import maskkit


def test_a_kind_says_what_comes() -> None:
    mask = assert_type(maskkit.create("causal", kind="mask", seq_len=4), maskkit.Mask)
    kernel = assert_type(maskkit.create("dense", kind="kernel"), maskkit.Kernel)
    assert isinstance(mask, maskkit.Mask)
    assert isinstance(kernel, maskkit.Kernel)


def test_a_name_alone_may_be_anything() -> None:
    assert_type(maskkit.create("mask.causal", seq_len=4), Any)


def test_expressions_and_what_is_done_with_masks_are_masks() -> None:
    mask = assert_type(maskkit.parse("causal & banded(band_width=3)", seq_len=4), maskkit.Mask)
    assert isinstance(assert_type(mask & ~mask, maskkit.Mask), maskkit.Mask)
    assert isinstance(mask[1:, :], maskkit.Mask)


def test_the_front_door_lists_its_names_and_nothing_else() -> None:
    assert dir(maskkit) == sorted(maskkit.__all__)
    assert not {"Any", "logging", "annotations", "lazy_loader", "exports"} & set(dir(maskkit))
