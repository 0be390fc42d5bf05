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
from maskkit_transformers.requested import Extent, Pattern, both, packing, pattern, visible
from maskkit_transformers.setting import bound
from maskkit_transformers.texts import Texts

_KEPT = {torch.ops.aten.detach.default, torch.ops.aten.alias.default, torch.ops.aten.clone.default}
_ADDED = {torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor}


@frozen(eq=False, slots=False)
class Request:
    """What a model asks for at once, for all layers of a kind.

    Attributes:
        function: the mask function of transformers, or the mask that the caller has given of these queries and keys.
        extent: the queries and keys.
        real: booleans (batch, tokens), which are tokens and no padding; None where all are.
        use_vmap: whether the function takes single indices alone.
        decoder: for cross-attention, what the decoder has asked for its own; None where that is not known.
        given_texts: where the tokens stand in their texts, as far as their position ids say it.
        placed: whether it is known which tokens the queries and the keys are.
        found: what has been made of it already, for all layers of a forward pass.
    """

    function: Callable[..., Any] | Mask
    extent: Extent
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
        """Where the tokens stand in their texts; None where each row is one text, from its first token to its last."""
        packed = None if isinstance(self.function, Mask) else packing(self.function, self.extent)
        if packed is not None or self.given_texts is not None or self.real is None:
            return packed or self.given_texts
        return Texts.of_padding(self.real)

    def mask(self, template: Template | None, own: str, role: str) -> Mask | None:
        """What a layer attends under; None where all is allowed.

        Raises:
            ConfigError: it cannot be told, or the cache has dropped keys that are allowed.
        """
        if template is not None:
            self._check(template, own, role)
        found = self._over(self.extent, template, own, role)
        if found is True:
            return None
        return _nothing(self.extent) if found is False else found

    def _over(self, extent: Extent, template: Template | None, own: str, role: str) -> Pattern:
        seen: Pattern = True if self.real is None else visible(self.real, extent)
        if template is None:
            return both(seen, self._own(extent))
        if own == "combine":
            seen = both(seen, self._own(extent))
        else:
            seen = both(seen, self._kept(extent, role))
        if seen is False:
            return False
        return both(seen, self._across(template, extent) if role == "cross" else _laid(template, self.texts, extent))

    def _own(self, extent: Extent) -> Pattern:
        """The model's own mask, but for padding."""
        return self.function if isinstance(self.function, Mask) else pattern(self.function, extent, self.use_vmap)

    def _kept(self, extent: Extent, role: str) -> Pattern:
        """What stays of it beside padding, where a template replaces it: texts apart, places not written yet hidden."""
        texts = self.texts
        seen = texts.apart(extent.rows, extent.columns) if texts is not None and texts.several else True
        if role == "cross" or extent.columns.stop <= extent.rows.stop:
            return seen
        written = np.arange(extent.columns.start, extent.columns.stop) < extent.rows.stop
        return both(seen, KeyPadding(valid=written[None], q_len=size(extent.rows)))

    def _across(self, template: Template, extent: Extent) -> Mask:
        """A template of the decoder's text by the encoder's."""
        decoder = self.decoder
        if decoder is None or size(decoder.extent.rows) != size(extent.rows):
            raise ConfigError(
                "a template for cross-attention needs to know where the queries stand in their text, and the model "
                "does not say so here; give the decoder no attention mask of four axes"
            )
        queries = _positions(decoder)[:, decoder.extent.rows]
        keys = _positions(self)[:, extent.columns]
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
                f"{size(self.extent.rows)} queries and {size(self.extent.columns)} keys, and the attention mask that "
                "was given does not say where its queries and keys stand in the text; give one of two axes"
            )
        dropped = self.extent.columns.start
        if dropped > 0:
            before = evolve(self.extent, columns=slice(0, dropped))
            lost = self._over(before, template, own, role)
            if lost is True or (isinstance(lost, Mask) and lost.stats().allowed):
                raise ConfigError(
                    f"the cache has dropped the first {dropped:,} keys, and the mask lets queries see some of them: "
                    f"{template.text}; give a cache that keeps all, past_key_values=DynamicCache()"
                )


def size(one: slice) -> int:
    """How many tokens a slice has."""
    return int(one.stop - one.start)


def _nothing(extent: Extent) -> Mask:
    return KeyPadding(lengths=[0], seq_len=size(extent.columns), q_len=size(extent.rows))


def _positions(request: Request) -> Any:
    """Of all tokens in their texts, negative in none: (batch or 1, tokens)."""
    return np.arange(request.extent.tokens)[None] if request.texts is None else request.texts.places


def _laid(template: Template, texts: Texts | None, extent: Extent) -> Mask:
    """A template in the texts of an extent; that those of a row are apart, and padding hidden, others see to."""
    written = extent.rows.stop
    if texts is None and written < extent.columns.stop:  # of a cache, not to its end
        texts = Texts.of_padding(np.arange(extent.tokens)[None] < written)
    if texts is None:
        return extent.cut(bound(template, extent.tokens))
    base = bound(template, texts.length)
    if base.period == 1 and texts.whole and template.open:  # distance alone counts, wherever a text begins
        return extent.cut(template.bind(extent.tokens))
    return texts.lay(base, extent.rows, extent.columns)


class AskedMask(torch.Tensor):
    """A request that models pass on as they do their boolean masks (batch, 1, query, key).

    What computes with it gets the model's own mask: what adds it to numbers as eager attention adds it, else booleans.
    """

    request: Request

    @staticmethod
    def __new__(cls, request: Request, device: Any) -> AskedMask:
        extent = request.extent
        shape = extent.batch, 1, size(extent.rows), size(extent.columns)
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
