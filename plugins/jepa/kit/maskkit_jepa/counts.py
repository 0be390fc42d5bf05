"""From shares of the tokens to numbers of tokens: rounded to the nearest, never none, never all."""

from __future__ import annotations

import math

from maskkit.errors import ConfigError
from maskkit.validators import Rule

open_ratio = Rule("must be between 0.0 and 1.0, and neither", lambda value: 0 < value < 1, number=True)
"""A validator for the share of tokens that is masked."""
share = Rule("must be in (0, 1]", lambda value: 0 < value <= 1, number=True)
"""A validator for a share that may be all."""


def exact_count(ratio: float, tokens: int, name: str = "ratio") -> int:
    """The tokens that are a share of so many; the nearest number, where `int(ratio * tokens)` takes the one below.

    Raises:
        ConfigError: that is none of the tokens, or all of them.
    """
    count = math.floor(ratio * tokens + 0.5)
    if 0 < count < tokens:
        return count
    near = min(max(count, 1), tokens - 1) / tokens
    raise ConfigError(
        f"{name} must leave and mask at least one of {tokens} tokens, got {ratio}, which masks {count}; {near:.4g} is "
        f"the nearest that does"
    )
