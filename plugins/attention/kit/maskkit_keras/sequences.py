"""Ragged sequences into one array, and the mask that says which of its tokens are real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from maskkit import ConfigError, PaddingMask
from maskkit.validators import is_integer, one_of, shown

Array = npt.NDArray[Any]


def pad_sequences(
    ragged: Iterable[Any],
    maxlen: int | None = None,
    padding: Literal["post", "pre"] = "post",
    value: Any = 0,
    *,
    truncating: Literal["post", "pre"] = "pre",
    dtype: Any = "int32",
) -> tuple[Array, PaddingMask]:
    """Pad sequences of several lengths into one array, and tell its real tokens from the padding by their lengths.

    The array is that of `keras.utils.pad_sequences`, whose defaults differ in `padding` (there "pre"); what that
    function would change without a word (0.5 in an array of integers) is refused here.

    Args:
        ragged: sequences of tokens (steps,) or of features (steps, *channels), all of one kind: lists, or arrays of any
            library in host memory.
        maxlen: length of the result; None is that of the longest sequence.
        padding: the side on which to pad.
        value: what to pad with. It may occur as a token too: that one stays real.
        truncating: the side from which sequences over `maxlen` lose tokens.
        dtype: of the array; "float32" for features, `object` for strings.

    Returns:
        The array (batch, maxlen, *channels), and its mask (batch, maxlen).

    Raises:
        ConfigError: the sequences differ in rank or in channels (it names the first that differs from most), there is
            none, or a value does not fit the dtype.
    """
    one_of("post", "pre").check("padding", padding)
    one_of("post", "pre").check("truncating", truncating)
    if maxlen is not None and (not is_integer(maxlen) or maxlen <= 0):
        raise ConfigError(f"maxlen must be a positive integer, or None, got {shown(maxlen)}")
    sequences = [_as_sequence(sequence, i) for i, sequence in enumerate(ragged)]
    if not sequences:
        raise ConfigError("ragged must hold at least one sequence, got none")
    channels = _common_channels(sequences)
    length = max(map(len, sequences)) if maxlen is None else int(maxlen)
    cut = [s[max(0, len(s) - length) :] if truncating == "pre" else s[:length] for s in sequences]
    mask = PaddingMask(lengths=np.array([len(s) for s in cut]), seq_len=length, padding=padding)
    padded = np.full((len(cut), length, *channels), _fitting(np.asarray(value), np.dtype(dtype), "value"))
    tokens = [_fitting(s, padded.dtype, f"sequence {i}") for i, s in enumerate(cut) if len(s)]
    if tokens:
        padded[mask.allowed()] = np.concatenate(tokens)
    return padded, mask


def _as_sequence(sequence: Any, i: int) -> Array:
    try:
        found = np.asarray(sequence)
    except ValueError as error:
        raise ConfigError(f"sequence {i} is ragged itself, of mixed rank or length: {shown(sequence)}") from error
    if found.ndim == 0:
        raise ConfigError(f"sequence {i} must have an axis of steps, got {shown(sequence)}")
    return found


def _common_channels(sequences: Sequence[Array]) -> tuple[int, ...]:
    """The shape of a step. Empty sequences agree with all, for `[]` cannot say what its steps would have been."""
    steps = [(i, s.shape[1:]) for i, s in enumerate(sequences) if len(s)]
    if not steps:
        return ()
    usual = Counter(step for _, step in steps).most_common(1)[0][0]
    example = next(i for i, step in steps if step == usual)
    for i, step in steps:
        if step != usual:
            what = "rank" if len(step) != len(usual) else "channels"
            raise ConfigError(
                f"ragged must hold sequences of one rank and one kind of step; sequence {i} differs in {what}: "
                f"it has the shape {sequences[i].shape}, sequence {example} has {sequences[example].shape}"
            )
    return usual


def _fitting(values: Array, dtype: np.dtype[Any], name: str) -> Array:
    """The values in the dtype; rounding of floats to floats is all that may change them."""
    text = values.dtype.kind in "US" and dtype.kind not in "USO"
    try:
        with np.errstate(all="ignore"):
            cast = values.astype(dtype)
    except (TypeError, ValueError):
        text = True
    if not text and (dtype.kind == values.dtype.kind == "f" or dtype.kind == "O" or (cast == values).all()):
        return cast
    way_out = "give dtype=object" if text or dtype.kind in "US" else "give another dtype, such as 'float32' or 'int64'"
    raise ConfigError(f"{name} does not fit the dtype {str(dtype)!r}: {shown(values.tolist())}; {way_out}")
