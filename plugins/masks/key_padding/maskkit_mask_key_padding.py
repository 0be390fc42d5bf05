"""Key padding: no query sees the padding behind the end of its sample."""

from typing import Any

from attrs import field, frozen
from maskkit import AttentionMask, Spans, array, as_array, by_content, hookimpl, host, positive, take, within


@frozen(kw_only=True)
class KeyPadding(AttentionMask):
    """Sample b: every query may see the keys 0 .. lengths[b] - 1.

    Unlike `padding`, padded queries see what the others see, so that only a sample of length 0 has rows that are fully
    blocked.

    Source: the argument `key_padding_mask` of `torch.nn.MultiheadAttention`.

    Attributes:
        lengths: integers (batch,) of any array library, the tokens of each sample, 0..seq_len.
        seq_len: number of tokens with padding, queries and keys alike.
    """

    name = "key_padding"
    axes = ("batch", "query", "key")
    rules = (within("lengths", 0, "seq_len"),)
    samples = (dict(lengths=[5, 8, 2], seq_len=8), dict(lengths=[0, 3], seq_len=3))
    lengths: Any = field(converter=as_array, validator=array(ndim=1, dtype="integer"), eq=by_content)
    seq_len: int = field(validator=positive)

    @property
    def shape(self):
        return (self.lengths.shape[0], self.seq_len, self.seq_len)

    def allows(self, b, q, k):
        return (k < take(self.lengths, b)) & (q >= 0)  # every q; it gives the answer its shape

    def spans(self, b, q):
        return Spans.interval(0, host(self.lengths)[b])


@hookimpl
def maskkit_masks():
    return [KeyPadding]
