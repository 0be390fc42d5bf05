"""Global-local: a pair of masks, causal and sliding window."""

from attrs import field, frozen
from maskkit_mask_causal import Causal
from maskkit_mask_sliding_window import SlidingWindow
from maskkit import MaskGroup, hookimpl, positive


@frozen(kw_only=True)
class GlobalLocal(MaskGroup):
    """Two masks of one length, for layers that alternate: global (causal) and local (sliding window).

    Source: Gemma Team 2024 (Gemma 2), arXiv:2408.00118, section 2.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        sliding_window: number of keys that a query of the local mask sees, itself included.
    """

    name = "global_local"
    samples = (dict(seq_len=16, sliding_window=4),)
    seq_len: int = field(validator=positive)
    sliding_window: int = field(validator=positive)

    def masks(self):
        return Causal(seq_len=self.seq_len), SlidingWindow(seq_len=self.seq_len, window_size=self.sliding_window)


@hookimpl
def maskkit_masks():
    return [GlobalLocal]
