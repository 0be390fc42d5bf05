"""Chunked: a query sees itself and what came before it in its own chunk."""

from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive


@frozen(kw_only=True)
class Chunked(AttentionMask):
    """Query q may see the keys k <= q with k // chunk_size == q // chunk_size.

    Source: Meta 2025, Llama 4, whose layers with rotary positions attend in such chunks (`attention_chunk_size`, 8192
    tokens) and whose other layers are causal.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        chunk_size: tokens per chunk; the last chunk is shorter if the length is not a multiple.
    """

    name = "chunked"
    samples = (dict(seq_len=16, chunk_size=4), dict(seq_len=11, chunk_size=3), dict(seq_len=5, chunk_size=9))
    seq_len: int = field(validator=positive)
    chunk_size: int = field(validator=positive)

    def allows(self, q, k):
        return (k <= q) & (k // self.chunk_size == q // self.chunk_size)

    @classmethod
    def recognize(cls, spans):
        later = spans.lo[0][spans.lo[0] > 0]  # the second chunk begins at the first of them
        return dict(seq_len=spans.limit, chunk_size=int(later.min(initial=spans.limit)))


@hookimpl
def maskkit_masks():
    return [Chunked]
