"""Random: each pair is blocked with a fixed probability, the same on every backend."""

from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive, probability, random_bits, seed, seed_or_new, threshold


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


@hookimpl
def maskkit_masks():
    return [Random]
