"""Block diffusion: noised blocks see themselves and the clean blocks before them."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive
from maskkit.validators import Rule

_EVEN = Rule("must be even and positive", lambda value: value > 0 and value % 2 == 0, number=True)


@frozen(kw_only=True)
class BlockDiffusion(AttentionMask):
    """A text twice, first noised, then clean: what lets all its blocks be denoised in one pass.

    A noised token sees its own noised block and the clean blocks before it; a clean token the clean blocks up to its
    own. Of four quadrants: `grid([[block_diagonal, block_causal without its diagonal], [None, block_causal]])`.

    Source: Arriola et al. 2025 (Block Diffusion), arXiv:2503.09573, section 3.2 and appendix B.6.

    Attributes:
        seq_len: number of tokens, queries and keys alike: those of the noised half and of the clean one, and so even.
        block_size: tokens per block; the last block of each half is shorter if its length is not a multiple.
    """

    name = "block_diffusion"
    samples = (dict(seq_len=16, block_size=4), dict(seq_len=14, block_size=3), dict(seq_len=4, block_size=9))
    seq_len: int = field(validator=_EVEN)
    block_size: int = field(validator=positive)

    def allows(self, q, k):
        half = self.seq_len // 2
        noised_query, noised_key = q < half, k < half
        row, column = q % half // self.block_size, k % half // self.block_size
        own = noised_query & noised_key & (column == row)
        before = noised_query & ~noised_key & (column < row)
        return own | before | (~noised_query & ~noised_key & (column <= row))

    @classmethod
    def recognize(cls, spans):
        if spans.limit % 2:
            return None
        behind = np.where(spans.lo < spans.limit, spans.hi, 0)[..., 0]  # of what the first row sees
        return dict(seq_len=spans.limit, block_size=max(int(behind.max()), 1))


@hookimpl
def maskkit_masks():
    return [BlockDiffusion]
