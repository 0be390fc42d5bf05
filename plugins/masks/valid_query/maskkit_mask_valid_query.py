"""Valid query: only the object queries that stand for something are in play."""

from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import Mask, array, as_array, by_content, hookimpl, host, positive, shaped, take, within
from maskkit.arrays import is_array
from maskkit.validators import Rule, is_integer

_COUNT = array(ndim=0, dtype="integer")
_FLAGS = array(ndim=1, dtype="bool")


def _as_count_or_flags(value):
    """Counts that can be read become plain integers."""
    value = as_array(value)
    if _COUNT.test(value) and host(value) is not None:
        return int(host(value))
    return value


def _is_count_or_flags(value):
    if is_array(value):
        return _COUNT.test(value) or _FLAGS.test(value)
    return value is None or is_integer(value)


@frozen(kw_only=True)
class ValidQuery(Mask):
    """A query is allowed if it is valid: one of the first so many, or one that is marked.

    Source: Carion et al. 2020 (DETR), arXiv:2005.12872, section 3.1, where a fixed number of queries meets a variable
    number of objects.

    Attributes:
        num_queries: number of object queries.
        valid_queries: how many are valid, the first ones; or booleans (num_queries,) of any array library, True where
            valid; None if all are.
    """

    name = "valid_query"
    axes = ("query",)
    rules = (within("valid_queries", 0, "num_queries"), shaped("valid_queries", "num_queries"))
    samples = (
        dict(num_queries=10, valid_queries=5),
        dict(num_queries=6, valid_queries=[True, False, True, True, False, False]),
        dict(num_queries=4),
    )
    num_queries: int = field(validator=positive)
    valid_queries: Any = field(
        default=None,
        converter=_as_count_or_flags,
        validator=Rule("must be a count, a boolean array with 1 axis, or None", _is_count_or_flags),
        eq=by_content,
    )

    @property
    def shape(self):
        return (self.num_queries,)

    @property
    def _marked(self):
        return is_array(self.valid_queries) and len(self.valid_queries.shape) == 1

    @property
    def _count(self):
        return self.num_queries if self.valid_queries is None else self.valid_queries

    def allows(self, q):
        return take(self.valid_queries, q) if self._marked else q < self._count

    @classmethod
    def recognize(cls, spans):
        flags = spans.to_bool()
        first = bool((flags == (np.arange(spans.limit) < flags.sum())).all())
        return dict(num_queries=spans.limit, valid_queries=int(flags.sum()) if first else flags)


@hookimpl
def maskkit_masks():
    return [ValidQuery]
