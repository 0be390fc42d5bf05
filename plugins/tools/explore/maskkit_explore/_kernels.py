"""What installed kernels ask for their work, as rules that a page can compute.

Each kernel is asked for its estimate on a few dozen reference problems (`Kernel.fits`, as `maskkit plan` asks it); of
these a rule is made, `fixed + each * pairs`, over all pairs or over those in blocks that allow something. How far the
kernel's own answers are from the rule stands beside it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import maskkit
from maskkit import MaskkitError, NoFit, Problem, Spans, limits

BLOCK = 128
WIDTH = 64
"""Pairs are counted per head of this width."""
_SHAPES = ((512, 1, 64), (512, 8, 64), (2048, 8, 64), (2048, 8, 128), (8192, 8, 64))
"""Tokens, heads and their width of the reference problems."""


class Rule(NamedTuple):
    """The estimate of a kernel.

    Attributes:
        kernel: its name.
        over: "all" pairs of queries and keys, or those in "touched" blocks.
        fixed: seconds of any call.
        each: seconds of a pair of a head of width 64.
        low, high: the kernel's own answers are between `low` and `high` times the rule, on the reference problems.
        most: the most intervals of keys per row that it takes, of as many as were tried; None if it takes them all.
        why: what it says of more.
    """

    kernel: str
    over: str
    fixed: float
    each: float
    low: float
    high: float
    most: int | None = None
    why: str = ""


def rules(device: str = "cpu", library: str = "torch") -> tuple[list[Rule], dict[str, str]]:
    """The rules of all kernels that compute here, and why the others do not."""
    return _rules(tuple(maskkit.names("kernel")), device, library)


@cache
def _rules(names: tuple[str, ...], device: str, library: str) -> tuple[list[Rule], dict[str, str]]:
    problems = list(_problems(device, library))
    found, absent = [], {}
    for name in names:
        try:
            kernel = maskkit.config(name, kind="kernel")
            answers = [kernel.fits(problem) for problem, *_ in problems]
        except (MaskkitError, ImportError) as problem:
            absent[name] = str(problem)
            continue
        why = next((answer.why for answer in answers if isinstance(answer, NoFit)), "")
        if why:
            absent[name] = why
        else:
            pairs = {"all": [one[1] for one in problems], "touched": [one[2] for one in problems]}
            tried = [_fitted(name, over, x, [float(answer) for answer in answers]) for over, x in pairs.items()]
            best = min(tried, key=lambda rule: rule.high / rule.low)
            most, why = _most_intervals(kernel, library, device)
            found.append(best._replace(most=most, why=why))
    return found, absent


def _most_intervals(kernel: Any, library: str, device: str) -> tuple[int | None, str]:
    """The most intervals per row that a kernel takes, and what it says of more: `maskkit.limits.intervals`, or any."""
    n, most = _SHAPES[-1][0], limits.intervals

    def refusal(count: int) -> str:
        first = np.add.outer(np.arange(count) * (n // count), np.zeros(n, np.int64))
        mask = maskkit.from_spans([[Spans.intervals(first, first + 1).within(n)]])
        answer = kernel.fits(_problem(mask, n, 1, WIDTH, library, device))
        return answer.why if isinstance(answer, NoFit) else ""

    why = refusal(4 * most)
    return (most, why) if why and not refusal(most) else (None, "")


def _problem(mask: Any, n: int, heads: int, width: int, library: str, device: str) -> Problem:
    sizes = dict(heads=heads, kv_heads=heads, queries=n, keys=n, head_dim=width, value_dim=width)
    return Problem(mask=mask, library=library, device=device, **sizes)


def _problems(device: str, library: str) -> Any:
    """Problems, with the number of all pairs and of those in touched blocks, per head of width 64."""
    for n, heads, width in _SHAPES:
        for mask in _masks(n):
            problem = _problem(mask, n, heads, width, library, device)
            counts = mask.blocks(BLOCK).counts()
            lanes = heads * width / WIDTH
            yield problem, n * n * lanes, (counts["partial"] + counts["full"]) * BLOCK**2 * lanes


def _masks(n: int) -> Any:
    """Causal; then bands behind a query and around it, and documents, of several sizes."""
    own = np.arange(n)
    yield _mask(own * 0, own + 1, n)
    for size in (n // 32, n // 8, n // 2):
        yield _mask(own - size + 1, own + 1, n)
        yield _mask(own - size // 2, own + size // 2 + 1, n)
        yield _mask(own // size * size, own // size * size + size, n)


def _mask(lo: Any, hi: Any, n: int) -> Any:
    return maskkit.from_spans([[Spans.interval(np.maximum(lo, 0), np.minimum(hi, n)).within(n)]])


def _fitted(name: str, over: str, pairs: list[float], seconds: list[float]) -> Rule:
    """The rule with the smallest relative errors."""
    x, y = np.array(pairs), np.array(seconds)
    design = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
    (fixed, each), *_ = np.linalg.lstsq(design, np.ones_like(y))
    if fixed < 0:
        fixed, each = 0.0, float(np.exp(np.log(y / x).mean()))
    ratio = y / (fixed + each * x)
    return Rule(name, over, float(fixed), float(each), float(ratio.min()), float(ratio.max()))
