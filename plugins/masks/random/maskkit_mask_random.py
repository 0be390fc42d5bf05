"""Random: each pair is blocked with a fixed probability, the same on every backend."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive, probability, random_bits, seed, seed_or_new, threshold

_TRIED_SEEDS, _TRIED_ROWS = 256, 4
"""Small seeds, as people write them, are found again; and on how many rows they are tried first."""
_MOST_REGULAR = 32
"""Of rows with fewer intervals than one in so many keys no seed is looked for."""


@frozen(kw_only=True)
class Random(AttentionMask):
    """Each pair (q, k) is blocked with probability mask_probability, by a hash of (seed, q, k).

    Source: Zaheer et al. 2020 (BigBird), arXiv:2007.14062, section 2, for random patterns; here counter-based.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        mask_probability: share of the pairs that are blocked.
        seed: 0 .. 2**64 - 1; None draws one when the mask is made, and shows it.
    """

    name = "random"
    samples = (dict(seq_len=16, seed=1), dict(seq_len=9, mask_probability=0.6, seed=2))
    seq_len: int = field(validator=positive)
    mask_probability: float = field(default=0.1, validator=probability)
    seed: int = field(default=None, converter=seed_or_new, validator=seed)

    def allows(self, q, k):
        # The threshold of 1 is 2**31, which a library of 32 bits cannot hold; the number below it can.
        return random_bits(self.seed, q, k) > threshold(self.mask_probability) - 1

    @classmethod
    def recognize(cls, spans):
        if len(spans.shape) > 1 or len(spans) < max(spans.limit // _MOST_REGULAR, 2):
            return None
        allowed, k = spans[: min(_TRIED_ROWS, spans.limit)].to_bool(), np.arange(spans.limit)
        for number in range(_TRIED_SEEDS):
            bits = random_bits(number, np.arange(len(allowed))[:, None], k).astype(np.int64)
            if bits[allowed].min(initial=2**31) > bits[~allowed].max(initial=-1):  # a bound is between
                allowed = spans.to_bool()
                bits = random_bits(number, np.arange(len(allowed))[:, None], k).astype(np.int64)
                low, high = bits[~allowed].max(initial=-1), bits[allowed].min(initial=2**31)
                shares = (round((low + high) / 2**32, digits) for digits in range(1, 12))
                found = [share for share in shares if low < threshold(share) <= high]
                return dict(seq_len=spans.limit, mask_probability=float(found[0]), seed=number) if found else None
        return None


@hookimpl
def maskkit_masks():
    return [Random]
