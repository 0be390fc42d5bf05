"""Which tokens of a padded batch are real."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit.arrays.fields import as_array, by_content
from maskkit.arrays.indices import take
from maskkit.arrays.libraries import host
from maskkit.masks.mask import Mask
from maskkit.masks.pattern import Pattern
from maskkit.masks.spans import Spans
from maskkit.validators import array, non_negative, one_of, within


@frozen(kw_only=True)
class PaddingMask(Mask):
    """Which tokens of a padded batch are real: shape (batch, seq_len), allowed where real.

    The attention layers and Keras take it as it is, for `mask` and (ours) for `attention_mask`. Of queries and keys the
    mask `key_padding` says the same, where the padding is behind.

    Attributes:
        lengths: integers (batch,) of any array library, the real tokens of each sample, 0..seq_len.
        seq_len: number of tokens with padding.
        padding: the side on which the padding is, "post" (behind the tokens) or "pre".
    """

    name, form = "padded", "lengths"
    axes = ("batch", "token")
    rules = (within("lengths", 0, "seq_len"),)
    samples = (dict(lengths=[3, 0, 5], seq_len=5), dict(lengths=[3, 0, 5], seq_len=5, padding="pre"))
    lengths: Any = field(converter=as_array, validator=array(ndim=1, dtype="integer"), eq=by_content)
    seq_len: int = field(validator=non_negative)
    padding: str = field(default="post", validator=one_of("post", "pre"))

    @property
    def shape(self) -> tuple[int, ...]:
        """`(batch, seq_len)`."""
        return (self.lengths.shape[0], self.seq_len)

    def allows(self, b: Any, t: Any) -> Any:
        """Whether token t of sample b is real."""
        lengths = take(self.lengths, b)
        return t < lengths if self.padding == "post" else t + lengths >= self.seq_len

    def spans(self, b: Any) -> Spans:
        """The real tokens of sample b: one interval."""
        lengths: npt.NDArray[np.int64] = np.asarray(host(self.lengths), np.int64)[b]
        first = 0 if self.padding == "post" else self.seq_len - lengths
        return Spans.interval(first, first + lengths)


def is_of_tokens(pattern: Pattern) -> bool:
    """Whether a mask is of the tokens of a batch: a padding mask, or what slices and `& | ^ ~` make of such."""
    return isinstance(pattern, PaddingMask) or (bool(pattern.parts) and all(map(is_of_tokens, pattern.parts)))
