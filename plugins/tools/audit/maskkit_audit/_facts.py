"""What is known of the right mask: what was asked for, what padding is, which tokens belong together."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit import AttentionMask, ConfigError, Mask, Template, create
from maskkit.arrays import fetched, is_array
from maskkit_audit._atoms import text_of

Bools = npt.NDArray[np.bool_]

_REAL = ("attention_mask",)
_PADDED = ("key_padding_mask", "src_key_padding_mask", "padding_mask")
_DOCUMENTS = ("document_ids", "segment_ids", "seq_idx")
_CONFIG = {"type", "and", "or", "xor", "not", "view", "stack", "grid", "direct_sum", "at", "T", "array"}
_KINDS = {"causal": "future", "document": "document", "block_diagonal": "document", "prefix_tree": "document"}
_KINDS |= {"key_padding": "padding", "padding": "padding", "query_padding": "padding"}


@frozen
class Part:
    """A condition that every allowed pair must meet.

    Attributes:
        kind: what leaks where it is not met: "future", "document", "padding", or "extra" for all else.
        name: where it comes from.
        allowed: booleans (1 or batch, 1 or heads, queries, keys).
    """

    kind: str
    name: str
    allowed: Bools


@frozen(kw_only=True)
class Facts:
    """What the audit compares with.

    Attributes:
        expect: the wanted mask, as `audit` takes it; None where nothing is wanted.
        valid: booleans (batch, tokens), True where real.
        documents: integers (batch, tokens), the document of each token.
        source: the name of the input that says what is padding.
        two_sided: whether the inputs are of an encoder and of a decoder.
    """

    expect: Any = None
    valid: Bools | None = None
    documents: npt.NDArray[np.int64] | None = None
    source: str = ""
    two_sided: bool = False

    @classmethod
    def of(cls, inputs: Any, expect: Any, valid: Any, documents: Any) -> Facts:
        """From what the caller says, else from the names of the inputs."""
        given = inputs if isinstance(inputs, Mapping) else {}
        source = "valid"
        if valid is None:
            valid, source = _padding_of(given)
        elif (valid := _table(valid)) is None:
            raise ConfigError("valid must be an array (batch, tokens), 1 where real")
        if documents is None:
            documents = _documents_of(given, valid)
        elif (documents := _table(documents)) is None:
            raise ConfigError("documents must be an array of integers (batch, tokens)")
        valid = None if valid is None or valid.all() else valid == 1
        return cls(
            expect=expect, valid=valid, documents=documents, source=source, two_sided="decoder_input_ids" in given
        )

    def parts(self, name: str, shape: tuple[int, ...], claims_causal: bool) -> list[Part]:
        """What one attention must obey, whose scores are (batch, heads, queries, keys).

        Raises:
            ConfigError: the wanted mask is for other lengths.
        """
        batch, _, queries, keys = shape
        found = self._expected(name, shape)
        if not found and claims_causal and queries <= keys:
            own = np.arange(queries)[:, None] + keys - queries
            found.append(Part("future", "is_causal of the module", (np.arange(keys) <= own)[None, None]))
        if (valid := self._of_keys(self.valid, batch, keys)) is not None and not self._elsewhere(name):
            found.append(Part("padding", self.source, np.broadcast_to(valid[:, None, None], (batch, 1, queries, keys))))
        ids = self._of_keys(self.documents, batch, keys)
        if ids is not None and queries == keys and not self.two_sided:
            found.append(Part("document", "documents", (ids[:, :, None] == ids[:, None])[:, None]))
        return found

    def real_rows(self, shape: tuple[int, ...]) -> Bools:
        """The queries that are no padding, (1 or batch, 1, queries, 1)."""
        batch, _, queries, _ = shape
        valid = None if self.two_sided else self._of_keys(self.valid, batch, queries)
        return np.ones((1, 1, queries, 1), np.bool_) if valid is None else valid[:, None, :, None]

    def in_row(self, name: str, shape: tuple[int, ...]) -> list[Part]:
        """The wanted mask as it would be if positions were counted from the padding; empty where that is the same."""
        return self._expected(name, shape, from_text=False) if self._moved(shape) is not None else []

    # -- how ------------------------------------------------------------------------------------------------------

    def _expected(self, name: str, shape: tuple[int, ...], from_text: bool = True) -> list[Part]:
        expect = expect_of(self.expect, name)
        if expect is None:
            return []
        positions = self._moved(shape) if from_text else None
        return [
            Part(_KINDS.get(getattr(part, "name", ""), "extra"), _name(part), self._array(part, positions, shape))
            for part in _conjunction(_bound(expect, shape))
        ]

    def _array(self, mask: Mask, positions: Any, shape: tuple[int, ...]) -> Bools:
        if positions is not None and "batch" not in mask.axes:
            mask = mask.at(query=positions, key=positions)
        array: Bools = mask.allowed(form="heads")
        for axis, (own, size) in enumerate(zip(array.shape[:2], shape[:2], strict=True)):
            if own not in (1, size):
                word = ("batch", "head")[axis]
                raise ConfigError(f"expect has {own} along the axis {word!r}, and the attention has {size}")
        return array

    def _moved(self, shape: tuple[int, ...]) -> Any:
        """Where each token stands in its own text, where padding comes before it; -1 for padding."""
        batch, _, queries, keys = shape
        valid = self._of_keys(self.valid, batch, keys)
        if valid is None or queries != keys or self.two_sided or not (np.diff(valid.astype(int)) > 0).any():
            return None
        return np.where(valid, valid.cumsum(axis=1) - 1, -1)

    @staticmethod
    def _of_keys(table: Any, batch: int, keys: int) -> Any:
        """The table, where it is of as many samples and tokens."""
        return table if table is not None and table.shape == (batch, keys) else None

    def _elsewhere(self, name: str) -> bool:
        """Whether the keys are those of a decoder, of which the padding does not speak."""
        cross = any(word in name.lower() for word in ("cross", "encoder_attn", "encdec"))
        return self.two_sided and "decoder" in name and not cross


def expect_of(expect: Any, name: str) -> Any:
    """What is wanted of a module: a mapping of patterns of names says so for each; the first that fits counts."""
    if isinstance(expect, Mapping) and not _CONFIG & set(expect):
        return next((wanted for pattern, wanted in expect.items() if fnmatch(name, pattern)), None)
    return expect


def _bound(expect: Any, shape: tuple[int, ...]) -> Mask:
    """The wanted mask for so many queries and keys; of a shorter part of the queries the last rows."""
    *_, queries, keys = shape
    if isinstance(expect, Mask):
        mask = expect
    else:
        template = Template.of(expect)
        size = max(queries, keys)
        if template.open == ("seq_len",):
            mask = template.bind(size)
            return mask[..., keys - queries :, :] if queries < keys else mask[..., :keys]
        mask = create(template.tree(), kind="mask")
    if not isinstance(mask, AttentionMask) or mask.shape[-2:] != (queries, keys):
        raise ConfigError(
            f"expect {mask!r} is of {' x '.join(map(str, mask.shape[-2:]))}, and the attention is of {queries} queries "
            f"and {keys} keys; leave its seq_len open, or name modules: expect={{'*.self_attn': ...}}"
        )
    return mask


def _name(mask: Any) -> str:
    """As it is written in an expression, where it can be."""
    return text_of(mask) if not mask.parts and mask.samples else repr(mask)


def _conjunction(mask: Any) -> list[Mask]:
    """The masks that a mask is the intersection of."""
    if getattr(mask, "operation", "") == "and":
        return [part for one in mask.parts for part in _conjunction(one)]
    return [mask]


def _table(value: Any) -> Any:
    array = fetched(value) if is_array(value) else np.asarray(value)
    return array if array.ndim == 2 and array.dtype.kind in "biu" else None


def _padding_of(given: Mapping[str, Any]) -> tuple[Any, str]:
    for names, real in ((_REAL, 1), (_PADDED, 0)):
        for name in names:
            if given.get(name) is not None and (table := _table(given[name])) is not None:
                return table == real, name
    return None, ""


def _documents_of(given: Mapping[str, Any], valid: Any) -> Any:
    """The ids that are given; else positions that start again begin a document."""
    for name in _DOCUMENTS:
        if given.get(name) is not None and (table := _table(given[name])) is not None:
            return table
    positions = given.get("position_ids")
    if positions is None or (valid is not None and not valid.all()) or (table := _table(positions)) is None:
        return None
    starts = np.diff(table, axis=1, prepend=-1) != 1
    return starts.cumsum(axis=1) if starts[:, 1:].any() else None
