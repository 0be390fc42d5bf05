"""The five error classes. Every message names what was given, what is allowed, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class MaskkitError(Exception):
    """Base of every error that maskkit raises itself."""


class ConfigError(MaskkitError, ValueError):
    """Parameters, a file, an expression or a name that cannot mean one thing.

    Attributes:
        problems: each thing that is wrong; empty where the message is the one problem.
    """

    problems: tuple[str, ...] = ()


class UnknownName(ConfigError, LookupError):
    """No installed item has this name."""


class BrokenPlugin(MaskkitError, ImportError):
    """The plugin that offers the item cannot be imported, or breaks the contract; the cause is chained."""


class TooLarge(MaskkitError, MemoryError):
    """A dense array over `maskkit.limits.dense_bytes` was asked for."""


class NoKernel(ConfigError):
    """No installed kernel computes what was asked."""


class NoFit(NamedTuple):
    """Why a form, or a kernel, is none for what was asked; a value, false in conditions."""

    why: str

    def __bool__(self) -> bool:
        return False


def config_error(problems: Sequence[str], where: str) -> ConfigError:
    """One error for one or several problems of `where`."""
    text = problems[0] if len(problems) == 1 else f"{where} has {len(problems)} problems: " + "; ".join(problems)
    error = ConfigError(text)
    error.problems = tuple(problems)
    return error


def problems_of(error: ConfigError) -> list[str]:
    """The single problems that an error reports."""
    return list(error.problems or (str(error),))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'causal'?"`, or an empty string where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def plain(text: object) -> str:
    """One line of what a stranger says, in which nothing controls a terminal: escapes are spelt out."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
