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
_ADDED = {torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor}


@frozen(eq=False, slots=False)
class Request:
    """What a model asks for at once, for all layers of a kind.

    Attributes:
        function: the mask function of transformers, or the mask that the caller has given of these queries and keys.
        window: the queries and keys.
        real: booleans (batch, tokens), which are tokens and no padding; None where all are.
        use_vmap: whether the function takes single indices alone.
        decoder: for cross-attention, what the decoder has asked for its own; None where that is not known.
        given_texts: where the tokens stand in their texts, as far as their position ids say it.
        placed: whether it is known which tokens the queries and the keys are.
        found: what has been made of it already, for all layers of a forward pass.
    """

    function: Callable[..., Any] | Mask
    window: Window
    real: Any = None
    use_vmap: bool = False
    decoder: Request | None = None
    given_texts: Texts | None = None
    placed: bool = True
    found: dict[Any, Any] = field(factory=dict)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once."""
        if key not in self.found:
            self.found[key] = make()
        return self.found[key]

    @cached_property
    def texts(self) -> Texts | None:
        """Where the tokens stand in their texts; None where each row is one text, from its first token on."""
        packed = None if isinstance(self.function, Mask) else packing(self.function, self.window)
        if packed is not None or self.given_texts is not None or self.real is None:
            return packed or self.given_texts
        behind = np.arange(self.real.shape[1]) < self.real.sum(1)[:, None]
        return None if (behind == self.real).all() else Texts.of_padding(self.real)

    def mask(self, template: Template | None, own: str, role: str) -> Mask | None:
        """What a layer attends under; None where all is allowed.

        Raises:
            ConfigError: it cannot be told, or the cache has dropped keys that are allowed.
        """
        if template is not None:
            self._check(template, own, role)
        found = self._over(self.window, template, own, role)
        if found is True:
            return None
        return _nothing(self.window) if found is False else found

    def _over(self, window: Window, template: Template | None, own: str, role: str) -> Pattern:
        seen: Pattern = True if self.real is None else visible(self.real, window)
        if template is None:
            return both(seen, self._own(window))
        if own == "combine":
            seen = both(seen, self._own(window))
        else:
            seen = both(seen, self._kept(window, role))
        if seen is False:
            return False
        return both(seen, self._across(template, window) if role == "cross" else _laid(template, self.texts, window))

    def _own(self, window: Window) -> Pattern:
        """The model's own mask, but for padding."""
        return self.function if isinstance(self.function, Mask) else pattern(self.function, window, self.use_vmap)

    def _kept(self, window: Window, role: str) -> Pattern:
        """What stays of it beside padding, where a template replaces it: texts apart, places not written yet hidden."""
        texts = self.texts
        seen = texts.apart(window.rows, window.columns) if texts is not None and texts.several else True
        if role == "cross" or window.columns.stop <= window.rows.stop:
            return seen
        written = np.arange(window.columns.start, window.columns.stop) < window.rows.stop
        return both(seen, KeyPadding(valid=written[None], q_len=size(window.rows)))

    def _across(self, template: Template, window: Window) -> Mask:
        """A template of the decoder's text by the encoder's."""
        decoder = self.decoder
        if decoder is None or size(decoder.window.rows) != size(window.rows):
            raise ConfigError(
                "a template for cross-attention needs to know where the queries stand in their text, and the model "
                "does not say so here; give the decoder no attention mask of four axes"
            )
        queries = _positions(decoder)[:, decoder.window.rows]
        keys = _positions(self)[:, window.columns]
        counts = (max(0, int(one.max(initial=0))) + 1 for one in (queries, keys))
        return bound(template, *counts).at(query=queries, key=keys)

    def _check(self, template: Template, own: str, role: str) -> None:
        """Whether a template can be laid over this, and the cache still has what it lets queries see."""
        if isinstance(self.function, Mask) and own == "replace":
            raise ConfigError(
                "an attention mask of four axes does not tell padding from pattern; give one of two axes, or use_mask "
                'with own="combine"'
            )
        if not self.placed and role != "cross":
            raise ConfigError(
                f"{size(self.window.rows)} queries and {size(self.window.columns)} keys, and the attention mask that "
                "was given does not say where its queries and keys stand in the text; give one of two axes"
            )
        dropped = self.window.columns.start
        if dropped > 0:
            before = evolve(self.window, columns=slice(0, dropped))
            lost = self._over(before, template, own, role)
            if lost is True or (isinstance(lost, Mask) and lost.stats().allowed):
                raise ConfigError(
                    f"the cache has dropped the first {dropped:,} keys, and the mask lets queries see some of them: "
                    f"{template.text}; give a cache that keeps all, past_key_values=DynamicCache()"
                )


def size(one: slice) -> int:
    """How many tokens a slice has."""
    return int(one.stop - one.start)


def _nothing(window: Window) -> Mask:
    return KeyPadding(lengths=[0], seq_len=size(window.columns), q_len=size(window.rows))


def _positions(request: Request) -> Any:
    """Of all tokens in their texts, negative in none: (batch or 1, tokens)."""
    return np.arange(request.window.tokens)[None] if request.texts is None else request.texts.places


def _laid(template: Template, texts: Texts | None, window: Window) -> Mask:
    """A template in the texts of a window; that those of a row are apart, and padding hidden, others see to."""
    if texts is None:
        return window.cut(bound(template, window.tokens))
    base = bound(template, texts.length)
    if base.period == 1 and texts.whole and template.open:  # distance alone counts, wherever a text begins
        return window.cut(template.bind(window.tokens))
    return texts.lay(base, window.rows, window.columns)


class AskedMask(torch.Tensor):
    """A request that models pass on as they do their boolean masks (batch, 1, query, key).

    What computes with it gets the model's own mask: what adds it to numbers as eager attention adds it, else booleans.
    """

    request: Request

    @staticmethod
    def __new__(cls, request: Request, device: Any) -> AskedMask:
        window = request.window
        shape = window.batch, 1, size(window.rows), size(window.columns)
        made: AskedMask = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.bool, device=device)
        made.request = request
        return made

    def __init__(self, request: Request, device: Any) -> None:
        """Nothing is left to do."""

    def booleans(self) -> torch.Tensor:
        """True where the model's own mask allows."""
        mask = self.request.mask(None, "combine", "")
        if mask is None:
            return torch.ones(self.shape, dtype=torch.bool, device=self.device)
        found: torch.Tensor = mask.allowed("torch", "bool", self.device, form="heads")
        return found.expand(self.shape)

    def numbers(self, dtype: torch.dtype) -> torch.Tensor:
        """0 where it allows, the dtype's lowest number where it blocks."""
        return torch.zeros(self.shape, dtype=dtype, device=self.device).masked_fill(
            ~self.booleans(), torch.finfo(dtype).min
        )

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Moved and copied it is what it was; all else gets numbers or booleans."""
        kwargs = kwargs or {}
        moved = func is torch.ops.aten._to_copy.default and kwargs.get("dtype") in (None, torch.bool)
        if moved or func in _KEPT:
            return AskedMask(args[0].request, kwargs.get("device") or args[0].device)
        dtype = next((x.dtype for x in args if func in _ADDED and torch.is_tensor(x) and x.is_floating_point()), None)
        args, kwargs = torch.utils._pytree.tree_map_only(
            AskedMask, lambda mask: mask.booleans() if dtype is None else mask.numbers(dtype), (args, kwargs)
        )
        return func(*args, **kwargs)

    def __repr__(self, **_: Any) -> str:
        return f"AskedMask{tuple(self.shape)}"
