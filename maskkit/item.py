"""What every registered thing is: a frozen attrs class with a name, which knows how to build itself."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar


class Item:
    """Base of the three kinds. Subclasses are decorated with `@attrs.frozen(kw_only=True)`.

    Class attributes:
        kind: `"mask"`, `"attention"` or `"strategy"`; set by the base class of the kind.
        name: the short name, unique within the kind.
        samples: parameters of a few typical items, for tests and the gallery.
        aliases: other spellings of parameters in configs, and what they mean here.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    aliases: ClassVar[Mapping[str, str]] = {}

    if TYPE_CHECKING:  # what @attrs.frozen adds to every subclass
        __attrs_attrs__: ClassVar[Any]

    def build(self) -> Any:
        """What `maskkit.create` gives for this config."""
        return self


class Attention(Item):
    """Config of an attention layer: it checks the parameters, and names the Keras layer that takes them.

    Class attributes:
        layer_class: where the layer is, as `"package._layer:Class"`; imported when the first one is built.
        shapes: what the layer takes and gives, one group of axes per input: `"(B, T, embed_dim) -> (B, T, embed_dim)"`.
            A letter is any size, a name is the parameter of that name, a number is that size.
        sizes: sizes of letters in `shapes` that the samples leave no choice about.
        masks: which masks it obeys: `"keys"` (padding of tokens or pixels), `"causal"`, `"pairs"` (query by key).
        blocked: what a query that sees nothing gives while all biases are 0: `"zeros"`, `"input"`, or `""` for what
            depends on more than that.
        row_local: whether a query sees nothing but its own row of the mask allows.
        use_case: in a few words, when to take it.
    """

    kind = "attention"
    layer_class: ClassVar[str] = ""
    shapes: ClassVar[str] = ""
    sizes: ClassVar[Mapping[str, int]] = {}
    masks: ClassVar[tuple[str, ...]] = ()
    blocked: ClassVar[str] = "zeros"
    row_local: ClassVar[bool] = True
    use_case: ClassVar[str] = ""

    def layer(self, **keras_options: Any) -> Any:
        """The `keras.layers.Layer`; `keras_options` are those of every Keras layer (`name`, `dtype`, ...)."""
        params = {a.name: getattr(self, a.name) for a in self.__attrs_attrs__}
        return self.find_layer_class()(**params, **keras_options)

    @classmethod
    def find_layer_class(cls) -> Any:
        """The layer's class; this imports Keras."""
        return _find(cls, "layer_class", cls.layer_class)

    def build(self) -> Any:
        """The layer, without further options."""
        return self.layer()


class Strategy(Item):
    """Config of a JEPA masking strategy: it checks the parameters, and names the sampler that takes them.

    Subclasses have a field `seed` (`maskkit.seed_or_new` draws one where none is given) and say what their grid is.

    Class attributes:
        sampler_class: where the sampler is, as `"package._sampler:Class"`, a `maskkit.jepa.Sampler`; imported when the
            first one is built.
    """

    kind = "strategy"
    sampler_class: ClassVar[str] = ""

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens along each axis: (H, W) of an image, (T, H, W) of a video, (N,) of a sequence."""
        raise NotImplementedError(f"{type(self).__name__} must define grid")

    def sampler(self) -> Any:
        """The callable `(batch_size, device="cpu")` that draws masks."""
        return self.find_sampler_class()(self)

    @classmethod
    def find_sampler_class(cls) -> Any:
        """The sampler's class."""
        return _find(cls, "sampler_class", cls.sampler_class)

    def build(self) -> Any:
        """The sampler."""
        return self.sampler()


class Settings(Item):
    """Parameters that belong together inside a config, such as those of one mask of several: read and checked like an
    item's, but of no kind that can be asked for by name."""

    kind = "settings"


KINDS = ("mask", "attention", "strategy")


def _find(cls: type, attribute: str, path: str) -> Any:
    """The class that `"module:Class"` names."""
    module, _, name = path.partition(":")
    if not name:
        raise NotImplementedError(f"{cls.__name__} needs {attribute}, such as 'my_package._{attribute[:-6]}:MyClass'")
    return getattr(import_module(module), name)


KERAS_OPTIONS = ("name", "dtype", "trainable", "activity_regularizer")
"""What every Keras layer takes beside its own parameters."""
