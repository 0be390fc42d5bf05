"""In which form a mask is handed over: not at all, as the causal flag, or as booleans; and those, once per mask."""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from maskkit import Mask, Problem
from maskkit.limits import Recent

_forms = Recent()
_made: WeakKeyDictionary[Mask, dict[Any, Any]] = WeakKeyDictionary()


class _Form(str):
    """A word to keep."""

    __slots__ = ()
    nbytes = 1024


def form_of(problem: Problem) -> str:
    """ "none" where everything is allowed, "causal" where just the causal flag says it, else "booleans"."""
    if problem.mask is None:
        return "none"
    if not problem.mask.on_host:
        return "booleans"
    found: str = _forms.get((problem.mask, problem.batch, problem.heads), lambda: _Form(_find(problem)))
    return found


def _find(problem: Problem) -> str:
    planes = problem.planes()
    if planes is None or len(planes[0]) > 1 or len(planes[0][0]) > 1:
        return "booleans"
    [(lo, hi)] = planes[0][0]
    if not lo.any() and (hi == problem.keys).all():
        return "none"
    square = problem.queries == problem.keys
    return "causal" if square and not lo.any() and (hi == np.arange(1, len(hi) + 1)).all() else "booleans"


def made_once(mask: Mask, where: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives for a mask and a device, made once while the mask lives."""
    if not mask.on_host:
        return make()
    kept = _made.setdefault(mask, {})
    if where not in kept:
        kept[where] = make()
    return kept[where]
