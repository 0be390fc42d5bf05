"""The whole plugin API: five hooks.

A plugin is a distribution with an entry point in the group `maskkit`, whose name is the full name of the item it
offers (`"mask.causal" = "maskkit_mask_causal"`), so that listing items imports no plugin. A module that offers only
backends or commands uses an entry-point name without a kind (`"my-exporter" = "my_exporter"`); such modules are loaded
when a backend or command that nobody else has is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    import typer
    from maskkit.backends import Backend
    from maskkit.exporters import Exporter
    from maskkit.item import Attention, Item, Strategy

hookspec = HookspecMarker("maskkit")
hookimpl = HookimplMarker("maskkit")


@hookspec
def maskkit_masks() -> Sequence[type[Item]]:
    """Mask classes: frozen attrs classes that derive from `AttentionMask`, `Mask` or `MaskGroup` of `maskkit`."""
    return ()


@hookspec
def maskkit_attention() -> Sequence[type[Attention]]:
    """Configs of attention layers: frozen attrs classes that derive from `maskkit.Attention`."""
    return ()


@hookspec
def maskkit_strategies() -> Sequence[type[Strategy]]:
    """Configs of JEPA masking strategies: frozen attrs classes that derive from `maskkit.Strategy`."""
    return ()


@hookspec
def maskkit_backends() -> Sequence[Backend | Exporter]:
    """Array libraries as in `maskkit.backends`, or exporters as in `maskkit.exporters`; objects with a `name`."""
    return ()


@hookspec
def maskkit_commands() -> Sequence[typer.Typer]:
    """Typer apps, whose commands join the command line."""
    return ()
