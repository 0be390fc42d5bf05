"""Checkerboard: a query sees every other key."""

from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive


@frozen(kw_only=True)
class Checkerboard(AttentionMask):
    """Query q may see the keys k for which (q + k) // square is even.

    Source: chess.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        square: length of a run, in tokens.
    """

    name = "checkerboard"
    samples = (dict(seq_len=8), dict(seq_len=12, square=3))
    seq_len: int = field(validator=positive)
    square: int = field(default=1, validator=positive)

    def allows(self, q, k):
        return (q + k) // self.square % 2 == 0


@hookimpl
def maskkit_masks():
    return [Checkerboard]
