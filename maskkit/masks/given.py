"""Masks from boolean arrays that were made elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from maskkit.arrays.fields import as_array, by_content
from maskkit.arrays.indices import take
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.validators import array, one_of


@frozen(kw_only=True)
class Given(Mask):
    """A boolean array of any library, taken as it is.

    Attributes:
        array: booleans.
        true: what True means in it: "allowed" or "blocked".
    """

    name = "array"
    array: Any = field(converter=as_array, validator=array(dtype="bool"), eq=by_content)
    true: str = field(validator=one_of("allowed", "blocked"))

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return tuple(self.array.shape)

    def allows(self, *index: Any) -> Any:
        """What the array says there."""
        value = take(self.array, *index)
        return value if self.true == "allowed" else ~value

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any]:
        """The array, and which way round it is."""
        return {"array": save(self.array), "true": self.true}


class ArrayMask(Given):
    """Of pixels or queries."""


class AttentionArrayMask(Given, AttentionMask):
    """`(q_len, kv_len)` or `(batch, q_len, kv_len)`."""


def from_array(x: Any, true: str) -> Mask:
    """A mask from a boolean array of any library: the one door for arrays made elsewhere.

    Args:
        x: booleans, `(q_len, kv_len)` or `(batch, q_len, kv_len)` for attention, else one or four axes.
        true: what True means in `x`: "allowed" (Keras, Torch SDPA, JAX) or "blocked" (`nn.MultiheadAttention`).
            There is no default: which way round is what goes wrong.

    Raises:
        ConfigError: `x` is not boolean, or `true` is neither of the two.
    """
    x = as_array(x)
    attention = getattr(x, "ndim", None) in (2, 3)
    return (AttentionArrayMask if attention else ArrayMask)(array=x, true=true)
