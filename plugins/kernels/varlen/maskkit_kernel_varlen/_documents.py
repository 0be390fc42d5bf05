"""Where the documents of all samples begin, one behind the other."""

from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit import ConfigError, NoFit, Problem
from maskkit.limits import Recent

_found = Recent()


@frozen(eq=False)
class Documents:
    """Packed documents, each of as many queries as keys.

    Attributes:
        ends: int32 (documents + 1,), where they begin in the samples behind each other, and the number of all tokens.
        causal: whether a query sees only what is not behind it.
    """

    ends: npt.NDArray[np.int32]
    causal: bool

    @property
    def count(self) -> int:
        """How many."""
        return len(self.ends) - 1

    @property
    def longest(self) -> int:
        """Tokens of the longest."""
        return int(np.diff(self.ends).max())

    @property
    def pairs(self) -> int:
        """Of query and key, over all samples; of causal ones the half that is allowed."""
        sizes = np.diff(self.ends).astype(np.int64)
        return int((sizes * (sizes + 1) // 2 if self.causal else sizes**2).sum())

    @property
    def nbytes(self) -> int:
        """Of the ends."""
        return 1024 + self.ends.nbytes


@frozen(eq=False)
class _None:
    """Why there are none, to keep."""

    why: str
    nbytes: int = 1024


def documents_of(problem: Problem) -> Documents | NoFit:
    """Of all samples of a problem; or why it has none."""
    if problem.mask is not None and not problem.mask.on_host:
        return NoFit("the mask's values are on a device; give it arrays on the host")
    if 0 in (problem.batch, problem.queries, problem.head_dim, problem.value_dim):
        return NoFit("there are no documents in empty arrays")
    key = problem.mask, problem.batch, problem.queries, problem.keys
    found: Any = _found.get(key, lambda: _find(problem))
    return NoFit(found.why) if isinstance(found, _None) else found


def _find(problem: Problem) -> Documents | _None:
    if problem.batch * max(problem.queries, problem.keys) >= 2**31:
        return _None("the tokens of all samples are too many for int32")
    if problem.mask is None:
        starts, keys, causal = np.array([0, problem.queries]), np.array([0, problem.keys]), False
    else:
        try:
            form = problem.mask.export("varlen")  # type: ignore[attr-defined]
        except ConfigError as error:
            return _None(str(error))
        starts, keys, causal = form["cu_seqlens_q"], form["cu_seqlens_k"], form["causal"]
    if not np.array_equal(starts, keys) or (np.diff(starts) == 0).any():
        return _None("documents must have as many queries as keys each, and no row may see nothing")
    samples = problem.batch * problem.queries // int(starts[-1])  # one mask for several samples
    ends = np.add.outer(np.arange(samples) * starts[-1], starts[:-1]).ravel()
    return Documents(np.append(ends, problem.batch * problem.queries).astype(np.int32), causal)
