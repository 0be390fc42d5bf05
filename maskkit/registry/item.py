"""What every registered thing is: a frozen attrs class with a name, which knows how to build and to show itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from maskkit.errors import ConfigError, NoFit, config_error

if TYPE_CHECKING:
    from maskkit.kernels.problem import Problem
    from maskkit.masks.mask import Mask
    from maskkit.registry.hookspecs import Measures, Picture


class Item:
    """Base of every kind. Subclasses are decorated with `@attrs.frozen(kw_only=True)`.

    Class attributes:
        kind: `"mask"`, `"attention"`, `"strategy"`, `"kernel"` or another; set by the base class of the kind.
        name: the short name, unique within the kind.
        samples: parameters of a few typical items, for tests and the gallery.
        aliases: other spellings of parameters in configs, and what they mean here.
        rules: what must hold between fields, in the words of `maskkit.validators`: `at_most("kernel_size", "height")`.
        no_picture: why items of a kind have no picture, and what to draw instead, as said of NAME; empty where they do.
        stands_for_example: whether a bare name is drawn with the parameters of the first sample, if some are required.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    samples: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    aliases: ClassVar[Mapping[str, str]] = {}
    rules: ClassVar[tuple[Any, ...]] = ()
    no_picture: ClassVar[str] = ""
    stands_for_example: ClassVar[bool] = False

    if TYPE_CHECKING:  # what @attrs.frozen adds to every subclass
        __attrs_attrs__: ClassVar[Any]

    def __attrs_post_init__(self) -> None:
        """Check the rules; whoever overrides this calls it."""
        if self.rules and (problems := [problem for rule in self.rules if (problem := rule.problem(self))]):
            raise config_error(problems, f"{self.name} {self.kind}")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        as_constants([cls])

    @classmethod
    def subclasses(cls) -> Iterator[type[Any]]:
        """All classes of this kind that are loaded, by whatever plugin."""
        for below in cls.__subclasses__():
            yield below
            yield from below.subclasses()

    def build(self) -> Any:
        """What `maskkit.create` gives for this config."""
        return self

    def picture(self, *, blocked: bool = False) -> Picture:
        """What `maskkit render` draws; `blocked` shows the complement, where there is one.

        Items of which there is more than one sample take `samples` too, how many of them are drawn at most.
        """
        raise ConfigError(f"{self.name} {self.no_picture.replace('NAME', self.name) or 'has no picture'}")

    def pictures(self, steps: Iterable[int]) -> Sequence[Picture]:
        """What `maskkit render --steps` draws: one picture for each step of a training."""
        raise ConfigError(f"--steps is for strategies; {self.name} is the same at every step")

    def measure(self, block_size: int | None = None) -> Measures:
        """What `maskkit stats` prints; `block_size` is for those who count blocks."""
        raise ConfigError(f"{self.name} {self.no_picture.replace('NAME', self.name) or 'has no figures'}")

    def details(self) -> Mapping[str, str]:
        """Lines that `maskkit show` adds for an item of this kind, made from its first sample: label -> text."""
        return {}


def as_constants(classes: Iterable[type[Any]]) -> None:
    """Tell Torch, if it is there, that items of these classes are constants of a compiled graph.

    It is then compiled once for all that are equal, and again for one that is not; where a Torch does not have that,
    again for every item.
    """
    if sys.modules.get("torch") is None:
        return
    from torch.utils import _pytree

    # The public `register_constant` would make them nodes of trees too, which Keras and others then look into.
    known: set[type[Any]] = getattr(_pytree, "CONSTANT_NODES", set())
    known.update(cls for cls in classes if "__attrs_attrs__" in vars(cls))  # attrs makes a class again, with slots


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
    no_picture = (
        "is an attention layer, and has no picture: draw the mask that you give it, such as "
        "maskkit render causal --seq-len 16; maskkit show NAME tells its parameters and shapes"
    )
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

    def details(self) -> Mapping[str, str]:
        """What the layer takes and gives."""
        return {"shapes": self.shapes} if self.shapes else {}


class Strategy(Item):
    """Config of a JEPA masking strategy: it checks the parameters, and names the sampler that takes them.

    Subclasses have a field `seed` (`maskkit.seed_or_new` draws one where none is given) and say what their grid is.

    Class attributes:
        sampler_class: where the sampler is, as `"package._sampler:Class"`; imported when the first one is built. It
            draws and measures itself: `picture(blocked=, samples=)`, `measure(block_size=)`.
    """

    kind = "strategy"
    stands_for_example = True
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

    def picture(self, *, blocked: bool = False, samples: int | None = None) -> Picture:
        """The sampler's."""
        return self.build().picture(blocked=blocked, samples=samples)  # type: ignore[no-any-return]

    def pictures(self, steps: Iterable[int]) -> Sequence[Picture]:
        """The sampler's."""
        return self.build().pictures(steps)  # type: ignore[no-any-return]

    def measure(self, block_size: int | None = None) -> Measures:
        """The sampler's."""
        return self.build().measure(block_size=block_size)  # type: ignore[no-any-return]


class Cost(float):
    """The seconds that a kernel would take, and what they buy.

    Attributes:
        pairs: of queries and keys that it computes, over all samples and heads; None where nobody counted.
        nbytes: what it holds beside inputs and output; None likewise.
    """

    pairs: int | None
    nbytes: int | None

    def __new__(cls, seconds: float, *, pairs: int | None = None, nbytes: int | None = None) -> Cost:  # noqa: D102
        cost = super().__new__(cls, seconds)
        cost.pairs, cost.nbytes = pairs, nbytes
        return cost


class Kernel(Item):
    """A way to compute attention under a mask, exactly, on one library and device.

    `maskkit.attend` asks every installed one whether it fits, and takes the cheapest. `maskkit.testing.check_kernel`
    holds one to its promise: equal to the definition, forward and backward, with zeros where a row allows nothing.

    Class attributes:
        library: the array library whose problems `samples` are checked with.
        traceable: whether `torch.compile` may trace `attend`, which then sees tensors without values; else it runs as
            one operator of the graph, and once more for the gradients.
        over_ranks: whether it computes where several ranks hold a sequence: `attend_over_ranks`.
    """

    kind = "kernel"
    no_picture = "computes attention, and has no picture; maskkit plan EXPR tells when it is chosen"
    samples = ({},)
    library: ClassVar[str] = "torch"
    traceable: ClassVar[bool] = True
    over_ranks: ClassVar[bool] = False

    def fits(self, problem: Problem) -> float | NoFit:
        """The seconds that the problem would take (a `Cost` says more), or why it cannot be done here, exactly.

        Asked once per mask and shapes, before anything is computed; it looks at the mask, and at no array.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fits")

    def attend(self, query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
        """The output (B, H, Q, Dv), and with `problem.return_lse` the log-sum-exp of the scores (B, H, Q) beside it.

        Called for problems that fit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define attend")

    def attend_over_ranks(
        self, query: Any, key: Any, value: Any, mask: Mask | None, shards: Any, group: Any, **options: Any
    ) -> Any:
        """The same of this rank's rows, called by every rank of a group; `options` as of `maskkit.attend`."""
        raise NotImplementedError(f"{type(self).__name__} must define attend_over_ranks")


class Settings(Item):
    """Parameters that belong together inside a config, such as those of one mask of several: read and checked like an
    item's, but of no kind that can be asked for by name."""

    kind = "settings"


class Kind(NamedTuple):
    """What can be registered: a name, the class that its items derive from, and the hook that offers them.

    Another kind joins by an entry point `"kind.<name>"`, whose module gives it from the hook `maskkit_kinds`; then
    `"<name>.<item>"` are entry points of its items, which list, show, render and measure as ours do.
    """

    name: str
    base: type[Item]
    hook: str


KINDS = {
    kind.name: kind
    for kind in (
        Kind("mask", Item, "maskkit_masks"),
        Kind("attention", Attention, "maskkit_attention"),
        Kind("strategy", Strategy, "maskkit_strategies"),
        Kind("kernel", Kernel, "maskkit_kernels"),
    )
}
"""The kinds of the core."""


def lazy(module: str, *names: str, source: str = "_layer") -> Callable[[str], Any]:
    """A module's `__getattr__` that imports `names` from its submodule `source` when they are first asked for.

    __getattr__ = lazy(__name__, "MultiHeadAttention")
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in names:
            return getattr(import_module(f"{module}.{source}"), name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


def _find(cls: type, attribute: str, path: str) -> Any:
    """The class that `"module:Class"` names."""
    module, _, name = path.partition(":")
    if not name:
        raise NotImplementedError(f"{cls.__name__} needs {attribute}, such as 'my_package._{attribute[:-6]}:MyClass'")
    return getattr(import_module(module), name)


KERAS_OPTIONS = ("name", "dtype", "trainable", "activity_regularizer")
"""What every Keras layer takes beside its own parameters."""
