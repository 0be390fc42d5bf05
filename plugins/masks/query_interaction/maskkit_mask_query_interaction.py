"""Query interaction: which object queries see which."""

from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import (
    AttentionMask,
    array,
    as_array,
    by_content,
    hookimpl,
    one_of,
    only_with,
    optional,
    positive,
    shaped,
    take,
)
from maskkit.arrays import host
from maskkit.validators import Rule


def _is_exact(levels):
    numbers = host(levels)
    return numbers is None or -(2**53) <= int(numbers.min()) <= int(numbers.max()) <= 2**53


_EXACT = optional(Rule("must be in -2**53..2**53", _is_exact))
"""So that the difference of two is exact, whatever their dtype widens to."""


@frozen(kw_only=True)
class QueryInteraction(AttentionMask):
    """Query q may see query k if their interaction is of the type that is named.

    "none": no interaction, each query sees itself alone. "self": self-attention of the set, all see all. "cross": each
    query sees the others, not itself. "hierarchical": queries whose levels are at most 1 apart, themselves included.

    Source: Carion et al. 2020 (DETR), arXiv:2005.12872, section 3.2, for the self-attention among object queries.

    Attributes:
        num_queries: number of object queries.
        interaction_type: which queries interact: "none", "self", "cross" or "hierarchical".
        hierarchy_levels: integers (num_queries,) of any array library, the level of each query; for "hierarchical", and
            for no other type.
    """

    name = "query_interaction"
    category = "segmentation"
    rules = (only_with("hierarchy_levels", interaction_type="hierarchical"), shaped("hierarchy_levels", "num_queries"))
    samples = (
        dict(num_queries=8, interaction_type="hierarchical", hierarchy_levels=[0, 0, 1, 1, 2, 2, 3, 3]),
        dict(num_queries=6),
        dict(num_queries=6, interaction_type="cross"),
        dict(num_queries=3, interaction_type="none"),
    )
    num_queries: int = field(validator=positive)
    interaction_type: str = field(default="self", validator=one_of("none", "self", "cross", "hierarchical"))
    hierarchy_levels: Any = field(
        default=None, converter=as_array, validator=[optional(array(ndim=1, dtype="integer")), _EXACT], eq=by_content
    )

    @property
    def shape(self):
        return (self.num_queries, self.num_queries)

    def allows(self, q, k):
        if self.interaction_type == "hierarchical":
            # q * 0 widens narrow and unsigned levels, whose difference would wrap around.
            return abs(take(self.hierarchy_levels, q) + q * 0 - take(self.hierarchy_levels, k)) <= 1
        if self.interaction_type == "self":
            return q + k >= 0  # every pair
        return q == k if self.interaction_type == "none" else q != k

    @classmethod
    def recognize(cls, spans):
        n, counts = spans.limit, spans.counts()
        if len(spans.shape) > 1:
            return None
        if (counts == n).all():
            return dict(num_queries=n)
        if (counts <= 1).all():
            return dict(num_queries=n, interaction_type="none")
        if (counts == n - 1).all():
            return dict(num_queries=n, interaction_type="cross")
        changes = (spans.lo[:, 1:] != spans.lo[:, :-1]) | (spans.hi[:, 1:] != spans.hi[:, :-1])
        levels = np.append(0, np.cumsum(changes.any(axis=0)))  # those of a level stand together, and see the same
        return dict(num_queries=n, interaction_type="hierarchical", hierarchy_levels=levels)


@hookimpl
def maskkit_masks():
    return [QueryInteraction]
