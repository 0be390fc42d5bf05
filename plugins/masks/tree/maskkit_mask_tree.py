"""Tree: a token sees itself and its ancestors, for speculative decoding of many continuations at once."""

from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, ConfigError, array, as_array, by_content, hookimpl, host, take


@frozen(kw_only=True)
class Tree(AttentionMask):
    """Query q may see key k if k is q, the parent of q, the parent of that, and so on.

    A pair takes log2(n) look-ups and no table of n^2, so that a traced tree, or one on another device, needs no more.

    Sources: Miao et al. 2024 (SpecInfer), arXiv:2305.09781, section 4; Cai et al. 2024 (Medusa), arXiv:2401.10774,
    section 2.1.2.

    Attributes:
        parents: integers (n,) of any array library, the parent of each token, which stands before it; -1 for roots.
    """

    name = "tree"
    samples = (dict(parents=[-1, 0, 0, 1, 1, 2, 3, 3, 5]), dict(parents=[-1, -1, 0, 1, 3, 2]), dict(parents=[-1]))
    parents: Any = field(converter=as_array, validator=array(ndim=1, dtype="integer"), eq=by_content)

    def __attrs_post_init__(self):
        parents = host(self.parents)
        if parents is None:
            return
        for i in ((parents < -1) | (parents >= np.arange(len(parents)))).nonzero()[0]:
            choice = f"-1 (a root) or in 0..{i - 1} (before it)" if i else "-1 (a root)"
            raise ConfigError(f"parents[{i}] must be {choice}, got {parents[i]}")

    @property
    def shape(self):
        return (self.parents.shape[0], self.parents.shape[0])

    def allows(self, q, k):
        before = k <= q  # so every ancestor stands; said aloud, it bounds where pairs are looked for
        # Ancestors stand in order, so q climbs, in steps of falling powers of 2, as far as it stays at or behind k.
        for ancestors in reversed(_ancestors(self.parents)):
            above = take(ancestors, q)
            climbs = 1 + (above - k) // self.shape[0]  # 1 where above >= k, else 0
            q = q + climbs * (above - q)
        return before & (q == k)

    @classmethod
    def recognize(cls, spans):
        if len(spans.shape) > 1:
            return None
        own = np.arange(spans.limit)
        before = np.where(spans.lo < own, np.minimum(spans.hi, own), 0).max(axis=0) - 1  # the last key before the row
        counts = spans.counts()  # of a path, which is that of its parent and one more
        fits = counts == np.where(before >= 0, counts[before] + 1, 1)
        return dict(parents=before) if fits.all() and (before < own - 1).any() and spans.contains(own).all() else None


def _ancestors(parents):
    """Tables of the 1st, 2nd, 4th, 8th ... ancestor of each token, -1 above the roots; in the library of `parents`."""
    values = host(parents)
    up = parents if values is None else values
    tables = []
    for _ in range((up.shape[0] - 1).bit_length()):
        tables.append(up)
        gone = (up - abs(up)) // 2  # -1 above the roots, else 0
        up = take(up, up - gone) * (1 + gone) + gone
    return tables


@hookimpl
def maskkit_masks():
    return [Tree]
