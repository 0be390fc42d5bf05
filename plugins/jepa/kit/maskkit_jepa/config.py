"""What configs of strategies share: a seed, and the grid of an image or of a clip. Light: it imports no Torch."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from maskkit import ConfigError, Strategy, positive, seed, seed_or_new
from maskkit.validators import FieldRule
from maskkit_jepa.grid import image_grid, image_size, video_grid


def possible(*methods: str) -> FieldRule:
    """A rule: what these methods of the config make can be made; it is tried when the config is."""

    def problem(config: Any) -> str:
        try:
            for method in methods:
                getattr(config, method)()
        except ConfigError as error:
            return str(error)
        return ""

    return FieldRule(methods, "must be possible", problem)


@frozen(kw_only=True)
class SeededStrategy(Strategy):
    """A strategy that draws.

    Attributes:
        seed: 0 .. 2**64 - 1; None draws one when the strategy is made, and shows it.
    """

    seed: int = field(default=None, converter=seed_or_new, validator=seed)


@frozen(kw_only=True)
class ImageStrategy(SeededStrategy):
    """A strategy for the patches of an image.

    Attributes:
        input_size: side of the images in pixels, or (height, width); a multiple of the patch.
        patch_size: side of a patch in pixels.
    """

    input_size: int | tuple[int, int] = field(default=224, validator=image_size)
    patch_size: int = field(default=16, validator=positive)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along (height, width)."""
        height, width = image_grid(self.input_size, self.patch_size)
        return height, width


@frozen(kw_only=True)
class VideoStrategy(SeededStrategy):
    """A strategy for the tokens of a clip.

    Attributes:
        num_frames: frames of a clip; a multiple of the tubelet.
        tubelet_size: frames of a token.
        input_size: side of the frames in pixels, or (height, width); a multiple of the patch.
        patch_size: side of a token in pixels.
    """

    num_frames: int = field(default=16, validator=positive)
    tubelet_size: int = field(default=2, validator=positive)
    input_size: int | tuple[int, int] = field(default=224, validator=image_size)
    patch_size: int = field(default=16, validator=positive)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along (time, height, width)."""
        frames, height, width = video_grid(self.num_frames, self.tubelet_size, self.input_size, self.patch_size)
        return frames, height, width
