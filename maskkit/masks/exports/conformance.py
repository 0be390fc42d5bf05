"""What every exporter promises: a form that holds the whole mask, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit.errors import ConfigError
from maskkit.masks.given import from_array
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.registry.hookspecs import Exporter

Meaning = Callable[[Any, Mask], Any]


@frozen(kw_only=True)
class Diagonals(AttentionMask):
    """Query q may see the keys from q + first on, and before q + end."""

    name = "diagonals"
    sizes: tuple[int, int]
    first: int
    end: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(queries, keys)."""
        return self.sizes

    def allows(self, q: Any, k: Any) -> Any:
        """A band, whose rows may lie beside the keys."""
        return (k - q >= self.first) & (k - q < self.end)


def check_export(exporter: Exporter, meaning: Meaning) -> None:
    """Hold an exporter to its promise, for masks with all that makes forms go wrong; `meaning` as of the kit."""
    who, held, why = type(exporter).__name__, 0, ""
    for what, mask in _masks():
        try:
            value = exporter.export(mask)
        except ConfigError as error:
            if not str(error):
                raise AssertionError(f"{who} refuses {what}, and does not say why") from error
            why = why or str(error)
            continue
        except Exception as error:
            raise AssertionError(
                f"{who} of {what}: {type(error).__name__}: {error}; refuse what cannot be held with a ConfigError"
            ) from error
        assert value is not None, f"{who} gives None for {what}"
        _compare(f"{who} of {what}", meaning(value, mask), mask.allowed())
        _compare(f"{who} of {what}, asked again", meaning(exporter.export(mask), mask), mask.allowed())
        held += 1
    assert held, f"{who} holds none of the masks; of the first it says: {why}"


def _masks() -> Iterator[tuple[str, Mask]]:
    """Masks of every kind, and what they are."""
    causal = Diagonals(sizes=(8, 8), first=-8, end=1)
    window = Diagonals(sizes=(9, 9), first=-2, end=1)
    yield "a causal mask", causal
    yield "a window of three keys", window
    yield "a window that looks ahead", Diagonals(sizes=(9, 9), first=1, end=4)
    yield "more keys than queries", Diagonals(sizes=(5, 9), first=-9, end=5)
    yield "more queries than keys", Diagonals(sizes=(9, 5), first=-9, end=1)
    yield "one query and one key", Diagonals(sizes=(1, 1), first=0, end=1)
    yield "rows that allow nothing, at the start", Diagonals(sizes=(8, 8), first=-8, end=-2)
    yield "rows that allow nothing, at the end", Diagonals(sizes=(8, 8), first=3, end=8)
    yield "a mask that allows everything", causal | ~causal
    yield "a mask that allows nothing", causal & ~causal
    yield "a window cut out of a causal mask", Diagonals(sizes=(9, 9), first=-9, end=1) & ~window
    yield "the last query of a causal mask", causal[-1:, :]
    yield "a causal mask read backwards", causal[::-1, :]
    allowed: npt.NDArray[np.bool_] = np.random.default_rng(0).random((2, 5, 7)) < 0.5
    yield "an array of pairs", from_array(allowed[0], true="allowed")
    yield "a batch of two masks", from_array(allowed, true="allowed", axes=("batch", "query", "key"))
    yield "a mask for each of two heads", from_array(allowed, true="allowed", axes=("head", "query", "key"))


def _compare(what: str, found: Any, expected: npt.NDArray[np.bool_]) -> None:
    found = np.asarray(found)
    assert found.shape == expected.shape, f"{what}: it means a mask of shape {found.shape}, not {expected.shape}"
    if not np.array_equal(found, expected):
        where = tuple(np.argwhere(found != expected)[0].tolist())
        state = "allowed" if expected[where] else "blocked"
        raise AssertionError(f"{what}: the form does not mean the mask: {where} is {state}, and in the form it is not")
