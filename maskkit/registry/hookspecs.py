"""The whole plugin API: seven hooks, and the protocols of what they give.

A plugin is a distribution with an entry point in the group `maskkit`, whose name is the full name of the item it
offers (`"mask.causal" = "maskkit_mask_causal"`), so that listing items imports no plugin. A module that offers only
backends or commands says so by its entry-point name, `"backend.my_form"` or `"command.my_tool"` (without a prefix it
may offer both), and is loaded when a backend that the core has not, or the command line, is asked for.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    import numpy.typing as npt
    import typer
    from maskkit.arrays.backends import Backend
    from maskkit.registry.item import Attention, Item, Kernel, Kind, Strategy

hookspec = HookspecMarker("maskkit")
hookimpl = HookimplMarker("maskkit")


class Exporter(Protocol):
    """Turns attention masks into a form of another library, exactly, or refuses."""

    name: str

    @property
    def export(self) -> Callable[..., Any]:
        """`export(mask, **options)`: the mask in this form, or a ConfigError that says why it cannot be held.

        Where the form holds the whole mask, `read(value, **options)` gives it back, for `maskkit.from_form`.
        """


class Picture(Protocol):
    """What `Item.picture` gives, and `maskkit render` shows or writes; `notes` are lines for the user beside it.

    One may have `colours` too: of characters that stand between the bars of its `text`, the SGR codes for a terminal.
    """

    notes: Sequence[str]

    def text(self, width: int) -> str:
        """For a terminal of so many columns."""

    def svg(self) -> str:
        """A document."""

    def figure(self) -> Any:
        """A `matplotlib.figure.Figure`."""

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """What npy and npz files hold, by name."""


class Measures(Protocol):
    """What `Item.measure` gives, and `maskkit stats` prints; `notes` are lines for the user beside it."""

    notes: Sequence[str]

    def text(self, width: int) -> str:
        """For people, in so many columns."""

    def to_dict(self) -> Any:
        """Plain data, for JSON."""


@hookspec
def maskkit_masks() -> Sequence[type[Item]]:
    """Mask classes: frozen attrs classes that derive from `AttentionMask`, `Mask` or `MaskGroup` of `maskkit`."""


@hookspec
def maskkit_attention() -> Sequence[type[Attention]]:
    """Configs of attention layers: frozen attrs classes that derive from `maskkit.Attention`."""


@hookspec
def maskkit_strategies() -> Sequence[type[Strategy]]:
    """Configs of JEPA masking strategies: frozen attrs classes that derive from `maskkit.Strategy`."""


@hookspec
def maskkit_kernels() -> Sequence[type[Kernel]]:
    """Ways to compute attention under a mask: frozen attrs classes that derive from `maskkit.Kernel`."""


@hookspec
def maskkit_backends() -> Sequence[Backend | Exporter]:
    """Array libraries as in `maskkit.arrays.backends`, or exporters; objects with a `name`."""


@hookspec
def maskkit_commands() -> Sequence[typer.Typer]:
    """Typer apps, whose commands join the command line."""


@hookspec
def maskkit_kinds() -> Sequence[Kind]:
    """Kinds of items beside the core's, of a module whose entry point is `"kind.<name>"`."""
