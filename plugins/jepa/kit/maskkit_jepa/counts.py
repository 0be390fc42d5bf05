"""From shares of the tokens to numbers of tokens: by the rounding of each method, never none, never all.

Methods round differently, and in binary floating point, where 1 - 0.9 is a little less than 0.1. To have an author's
numbers is to do the author's arithmetic, operation by operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from maskkit.errors import ConfigError
from maskkit.validators import Rule

open_ratio = Rule("must be between 0.0 and 1.0, and neither", lambda value: 0 < value < 1, number=True)
"""A validator for the share of tokens that is masked."""
share = Rule("must be in (0, 1]", lambda value: 0 < value <= 1, number=True)
"""A validator for a share that may be all."""

ROUNDINGS: dict[str, Callable[[float, int], int]] = {
    "nearest": lambda ratio, tokens: math.floor(ratio * tokens + 0.5),
    "floor": lambda ratio, tokens: int(ratio * tokens),  # VideoMAE
    "ceil": lambda ratio, tokens: math.ceil(ratio * tokens),  # SimMIM
    "keep_floor": lambda ratio, tokens: tokens - int(tokens * (1 - ratio)),  # MAE, and the random tubes of V-JEPA
}
"""How many of so many tokens are masked: the nearest number, a half up; fewer; more; or those that are kept fewer."""


def exact_count(ratio: float, tokens: int, name: str = "ratio", rounding: str = "nearest") -> int:
    """The tokens that are a share of so many.

    Args:
        ratio: the share that is masked.
        tokens: all of them.
        name: of the parameter, for messages.
        rounding: one of `ROUNDINGS`.

    Raises:
        ConfigError: that is none of the tokens, or all of them.
    """
    masked = ROUNDINGS[rounding]
    count = masked(ratio, tokens)
    if 0 < count < tokens:
        return count
    if tokens < 2:
        raise ConfigError(
            f"{name} must leave and mask at least one token, and there is only {tokens}; enlarge the grid"
        )
    near = _nearest_ratio(min(max(count, 1), tokens - 1), tokens, masked)
    raise ConfigError(
        f"{name} must leave and mask at least one of {tokens} tokens, got {ratio}, which masks {count}; {near} is "
        f"the nearest that does"
    )


def _nearest_ratio(count: int, tokens: int, masked: Callable[[float, int], int]) -> str:
    """A ratio of few digits, about `count / tokens`, that masks just so many."""
    ratio = count / tokens
    for digits in range(4, 17):
        step = 10.0 ** (math.floor(math.log10(ratio)) + 1 - digits)
        for value in (ratio, ratio - step, ratio + step):
            if masked(float(text := f"{value:.{digits}g}"), tokens) == count:
                return text
    return repr(ratio)
