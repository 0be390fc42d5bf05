"""What every registered thing is: a frozen attrs class with a name, which knows how to build itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Item:
    """Base of the three kinds. Subclasses are decorated with `@attrs.frozen(kw_only=True)`.

    Class attributes:
        kind: `"mask"`, `"attention"` or `"strategy"`; set by the base class of the kind.
        name: the short name, unique within the kind.
        samples: parameters of a few typical items, for tests and the gallery.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = ()

    def build(self) -> Any:
        """What `maskkit.create` gives for this config."""
        return self


class Attention(Item):
    """Config of an attention layer. Subclasses define `layer`, and import Keras inside it."""

    kind = "attention"

    def layer(self, **keras_options: Any) -> Any:
        """The `keras.layers.Layer`; `keras_options` are those of every Keras layer (`name`, `dtype`, ...)."""
        raise NotImplementedError(f"{type(self).__name__} must define layer(**keras_options)")

    def build(self) -> Any:
        """The layer, without further options."""
        return self.layer()


class Strategy(Item):
    """Config of a JEPA masking strategy. Subclasses define `sampler`, and import Torch inside it."""

    kind = "strategy"

    def sampler(self) -> Any:
        """The callable `(batch_size, device="cpu")` that draws masks."""
        raise NotImplementedError(f"{type(self).__name__} must define sampler()")

    def build(self) -> Any:
        """The sampler."""
        return self.sampler()


KINDS = ("mask", "attention", "strategy")
