"""One or several masks as one picture: what `maskkit render` shows or writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from maskkit.errors import ConfigError
from maskkit.masks.dense import array
from maskkit.masks.draw.figure import figure
from maskkit.masks.draw.shares import FEW
from maskkit.masks.draw.svg import svg
from maskkit.masks.draw.text import text


class MaskPicture:
    """Masks, one under or beside the other.

    Args:
        masks: what is drawn, and named beside it.
        blocked: whether their complements are drawn.
        samples: how many of a batch or of heads are drawn at most, None for a few.
    """

    notes: Sequence[str] = ()

    def __init__(self, masks: Sequence[Any], blocked: bool, samples: int | None = None) -> None:
        self._masks, self._blocked, self._most = masks, blocked, samples or FEW
        self._shown = [~mask for mask in masks] if blocked else masks

    def text(self, width: int) -> str:
        """In characters; of several, each under its name."""
        pictures = [text(shown, width, most=self._most) for shown in self._shown]
        if len(pictures) > 1:
            pictures = [f"{mask!r}\n{picture}" for mask, picture in zip(self._masks, pictures, strict=True)]
        return "\n".join(pictures)

    def svg(self) -> str:
        """As a document, of one mask."""
        if len(self._masks) > 1:
            raise ConfigError(f"an svg file holds one mask, and this gives {len(self._masks)}; use .png or .pdf")
        return svg(self._shown[0], most=self._most)

    def figure(self) -> Any:
        """With matplotlib."""
        return figure(self._masks, blocked=self._blocked, most=self._most)

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """Booleans, under the word for what True means in them."""
        word = "blocked" if self._blocked else "allowed"
        names = [word] if len(self._masks) == 1 else [f"{word}_{i}" for i in range(len(self._masks))]
        arrays = (array(shown, "numpy", "bool", None, on=1, off=0) for shown in self._shown)
        return dict(zip(names, arrays, strict=True))
