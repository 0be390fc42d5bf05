"""The mask of a forward pass, as it travels through a model: a tensor in name, a mask value behind it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from attrs import evolve, field, frozen
from maskkit_mask_key_padding import KeyPadding
from maskkit import ConfigError, Mask, Template
from maskkit_transformers.requested import Pattern, Window, both, packing, pattern, visible
from maskkit_transformers.setting import bound
from maskkit_transformers.texts import Texts

_KEPT = {torch.ops.aten.detach.default, torch.ops.aten.alias.default, torch.ops.aten.clone.default}


@frozen(eq=False, slots=False)
class Request:
    """What a model asks for at once, for all layers of a kind.

    Attributes:
        function: the mask function of transformers, or the mask that the caller has given of these queries and keys.
        window: the queries and keys.
        real: booleans (batch, tokens), which are tokens and no padding; None where all are.
        use_vmap: whether the function takes single indices alone.
        decoder: for cross-attention, what the decoder has asked for its own; None where that is not known.
        found: what has been made of it already, for all layers of a forward pass.
    """

    function: Callable[..., Any] | Mask
    window: Window
    real: Any = None
    use_vmap: bool = False
    decoder: Request | None = None
    given_texts: Texts | None = None
    found: dict[Any, Any] = field(factory=dict)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once."""
        if key not in self.found:
            self.found[key] = make()
        return self.found[key]

    def own(self, window: Window) -> Pattern:
        """The model's own mask, but for padding."""
        return self.function if isinstance(self.function, Mask) else pattern(self.function, window, self.use_vmap)

    @cached_property
    def texts(self) -> Texts | None:
        """Where the tokens stand in their texts; None where each row is one text, from its first token on."""
        packed = None if isinstance(self.function, Mask) else packing(self.function, self.window)
        if packed is not None or self.given_texts is not None or self.real is None:
            return packed or self.given_texts
        first = self.real.sum(1)
        begins = np.arange(self.real.shape[1]) < first[:, None]
        return None if (begins == self.real).all() else Texts.of_padding(self.real)

    def mask(self, template: Template | None, own: str, role: str) -> Mask | None:
        """What a layer attends under; None where all is allowed.

        Raises:
            ConfigError: it cannot be told, or the cache has dropped keys that are allowed.
        """
        window = self.window
        found = self._of(window, template, own, role)
        if template is not None and window.columns.start > 0:
            before = evolve(window, columns=slice(0, window.columns.start))
            lost = self._of(before, template, own, role)
            if lost is True or (lost is not False and lost.stats().allowed):
                raise ConfigError(
                    f"the cache has dropped the first {window.columns.start:,} keys, and the mask "
                    f"{template.sized() if not template.open else template.text} lets queries see some of them; give "
                    "a cache that keeps all: past_key_values=DynamicCache() "
                    "without a config"
                )
        if isinstance(found, bool):
            rows, columns = window.rows, window.columns
            return None if found else KeyPadding(lengths=[0], seq_len=_size(columns), q_len=_size(rows))
        return found

    def _of(self, window: Window, template: Template | None, own: str, role: str) -> Pattern:
        seen: Pattern = True if self.real is None else visible(self.real, window)
        if own == "combine" or template is None:
            seen = both(seen, self.own(window))
        else:
            if self.texts is not None and self.texts.several:
                seen = both(seen, self.texts.apart(window.rows, window.columns))
            if role != "cross" and window.columns.stop > window.rows.stop:  # of a cache, not written yet
                count = max(0, window.rows.stop - window.columns.start)
                seen = both(seen, KeyPadding(lengths=[count], seq_len=_size(window.columns), q_len=_size(window.rows)))
        if template is None or seen is False:
            return seen
        laid = self._across(window, template) if role == "cross" else laid_over(template, self.texts, window)
        return both(seen, laid)

    def _across(self, window: Window, template: Template) -> Mask:
        """A template of the decoder's text by the encoder's."""
        asked = self.decoder
        if asked is None or _size(asked.window.rows) != _size(window.rows):
            raise ConfigError(
                "a template for cross-attention needs to know where the queries stand in their text, and the model "
                "does not say so here; give the decoder a 2-D attention mask or none"
            )
        place = [_positions(one.texts, one.window.tokens)[:, part] for one, part in (
            (asked, asked.window.rows), (self, window.columns))]
        queries, keys = (max(0, int(one.max(initial=0))) + 1 for one in place)
        return bound(template, queries, keys).at(query=place[0], key=place[1])


def _size(one: slice) -> int:
    return int(one.stop - one.start)


def _positions(texts: Texts | None, tokens: int) -> Any:
    """Of all tokens in their texts: (batch or 1, tokens)."""
    return np.arange(tokens)[None] if texts is None else np.where(texts.text >= 0, texts.position, -1)


def laid_over(template: Template, texts: Texts | None, window: Window) -> Mask:
    """A template in the texts of a window; those of a row, and padding, are kept apart by other masks."""
    if texts is None:
        return window.cut(bound(template, window.tokens))
    base = bound(template, texts.length)
    if base.period == 1 and texts.whole and template.open:  # only distance counts: the same wherever a text begins
        return window.cut(template.bind(window.tokens))
    return texts.lay(base, window.rows, window.columns)


class AskedMask(torch.Tensor):
    """A request that models pass on as they do their boolean masks (batch, 1, query, key).

    What computes with it gets the booleans of the model's own mask.
    """

    request: Request

    @staticmethod
    def __new__(cls, request: Request, device: Any) -> AskedMask:
        window = request.window
        shape = window.batch, 1, _size(window.rows), _size(window.columns)
        made: AskedMask = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.bool, device=device)
        made.request = request
        return made

    def __init__(self, request: Request, device: Any) -> None:
        """Nothing is left to do."""

    def booleans(self) -> torch.Tensor:
        """Those of the model's own mask."""
        mask = self.request.mask(None, "combine", "")
        if mask is None:
            return torch.ones(self.shape, dtype=torch.bool, device=self.device)
        found: torch.Tensor = mask.allowed("torch", "bool", self.device, form="heads")
        return found.expand(self.shape)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Moved and copied it is what it was; all else sees booleans."""
        kwargs = kwargs or {}
        moved = func is torch.ops.aten._to_copy.default and kwargs.get("dtype") in (None, torch.bool)
        if moved or func in _KEPT:
            return AskedMask(args[0].request, kwargs.get("device") or args[0].device)
        args, kwargs = torch.utils._pytree.tree_map_only(AskedMask, AskedMask.booleans, (args, kwargs))
        return func(*args, **kwargs)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"AskedMask{tuple(self.shape)}"
