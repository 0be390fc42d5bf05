"""Group-query: several query heads share one head of keys and values."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, optional, positive, rate, seed
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class GroupQuery(TrainableAttention):
    """Self-attention whose query heads share fewer heads of keys and values, with rotary positions.

    Rotary positions turn channels `2i` and `2i + 1` of each head as a pair (as GPT-J and Cohere do). Checkpoints with
    Llama's halves need each head's query and key columns in the order 0, D/2, 1, D/2 + 1, ...

    Source: Ainslie et al. 2023, arXiv:2305.13245; one shared head: Shazeer 2019, arXiv:1911.02150; rotary: Su et al.
    2021, arXiv:2104.09864.

    Attributes:
        d_model: width of the tokens; a multiple of `n_head`.
        n_head: number of query heads, each `d_model / n_head` wide; a multiple of `n_kv_head`.
        n_kv_head: number of key and value heads: `n_head` is multi-head attention, 1 is multi-query attention.
        max_seq_len: longest sequence, positions before `position_offset` included.
        dropout_rate: share of attention weights dropped while training, 0 to 1.
        rope_percentage: share of each head's channels that is turned by position, 0 (no rotary positions) to 1.
        rope_theta: base of the wavelengths of the rotary positions.
        use_bias: whether the projections have biases.
        seed: of the dropout; None draws one.
    """

    name = "group_query"
    layer_class = "maskkit_attention_group_query._layer:GroupedQueryAttention"
    samples = (
        dict(d_model=16, n_head=4, n_kv_head=2),
        dict(d_model=15, n_head=3, n_kv_head=1, rope_percentage=0.5, use_bias=True),
        dict(d_model=8, n_head=2, n_kv_head=2, rope_percentage=0.0, dropout_rate=0.1),
    )
    rules = (multiple("d_model", "n_head"), multiple("n_head", "n_kv_head"))
    shapes = "(B, T, d_model) -> (B, T, d_model)"
    masks = ("keys", "causal", "pairs")
    use_case = "Language models in which the keys and values of past tokens are the bottleneck"
    d_model: int = field(validator=positive)
    n_head: int = field(validator=positive)
    n_kv_head: int = field(validator=positive)
    max_seq_len: int = field(default=2048, validator=positive)
    dropout_rate: float = field(default=0.0, validator=rate)
    rope_percentage: float = field(default=1.0, validator=rate)
    rope_theta: float = field(default=10000.0, validator=positive)
    use_bias: bool = False
    seed: int | None = field(default=None, validator=optional(seed))


@hookimpl
def maskkit_attention():
    return [GroupQuery]


__getattr__ = lazy(__name__, "GroupedQueryAttention")
