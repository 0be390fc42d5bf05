"""Array fields: of any library and dtype, on this host or traced, one mask."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from attrs import field, frozen
from maskkit import AttentionMask, ConfigError, Spans, array, as_array, by_content, optional, positive, take
from maskkit.testing import check_array_fields, check_mask


@frozen(kw_only=True)
class Listed(AttentionMask):
    """Keys that are listed may be seen.

    Attributes:
        keys: booleans (seq,).
    """

    name = "listed"
    keys: Any = field(converter=as_array, validator=array(ndim=1, dtype="bool"), eq=by_content)

    @property
    def shape(self):
        return (2, self.keys.shape[0])

    def allows(self, q, k):
        return take(self.keys, k) & (q >= 0)


class Careless(Listed):
    """Looks at its values when it is asked."""

    def allows(self, q, k):
        return (k >= 0) & (q >= 0) if bool(self.keys.any()) else super().allows(q, k)


KEYS = [True, True, True]


@pytest.mark.parametrize("name", ["torch", "jax", "keras"])
def test_the_kit_passes_a_mask_that_works_with_every_library(name):
    check_array_fields(Listed(keys=KEYS), np.ones((2, 3), bool), name)


@pytest.mark.parametrize(("name", "cause"), [("torch", "meta tensors"), ("jax", "traced array")])
def test_the_kit_finds_a_mask_that_reads_values_from_another_device_or_a_tracer(name, cause):
    with pytest.raises(Exception, match=cause):
        check_array_fields(Careless(keys=KEYS), np.ones((2, 3), bool), name)


def test_the_kit_finds_a_mask_whose_bits_depend_on_the_library():
    class Fickle(Listed):
        def allows(self, q, k):
            allowed = super().allows(q, k)
            return allowed if isinstance(self.keys, np.ndarray) else ~allowed

    with pytest.raises(AssertionError, match="differs with fields from torch"):
        check_mask(Fickle(keys=KEYS), backends=["torch"])


@frozen
class Maybe:
    integers: Any = field(default=None, validator=optional(array(ndim=1, dtype="integer")))
    count: int | None = field(default=None, validator=optional(positive))


@pytest.mark.parametrize("value", [None, np.array([1, 2]), torch.tensor([1]), jnp.array([1])])
def test_an_optional_array_may_be_left_out(value):
    Maybe(integers=value)


@pytest.mark.parametrize("value", [[1, 2], 1, np.array([0.5]), np.array([[1]])])
def test_an_optional_array_is_an_array_all_the_same(value):
    with pytest.raises(ConfigError, match=r"^integers must be an integer array with 1 axis, or None, got"):
        Maybe(integers=value)


@pytest.mark.parametrize("value", [True, "3", 2.5, float("nan"), [1]])
def test_an_optional_integer_is_an_integer_all_the_same(value):
    with pytest.raises(ConfigError, match=r"^count must be an integer, got"):
        Maybe(count=value)


def test_an_optional_number_keeps_its_range():
    with pytest.raises(ConfigError, match=r"^count must be positive, or None, got -1"):
        Maybe(count=-1)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_intervals_have_ends_of_any_integer_dtype(dtype):
    """Also empty ones, which are moved behind the last key."""
    spans = Spans.interval(0, np.array([0, 2, 100], dtype)).within(50)
    assert [spans.row(i) for i in range(3)] == [[], [(0, 2)], [(0, 50)]]
