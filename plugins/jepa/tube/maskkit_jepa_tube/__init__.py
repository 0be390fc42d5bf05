"""Tube: the same random patches of every frame are predicted from the others."""

from attrs import field, frozen
from maskkit import ConfigError, Strategy, hookimpl, positive, seed, seed_or_new
from maskkit_jepa import exact_count, image_size, open_ratio, video_grid


@frozen(kw_only=True)
class Tube(Strategy):
    """A share of the patches, the same in every frame, is predicted from the others.

    Every clip has exactly the same number of targets, each set of that many patches equally likely: the share of a
    frame's patches rounded to the nearest number.

    Source: Tong et al. 2022 (VideoMAE), arXiv:2203.12602, section 3.3.

    Attributes:
        num_frames: frames of a clip; a multiple of the tubelet.
        tubelet_size: frames of a token.
        input_size: side of the frames in pixels, or (height, width); a multiple of the patch.
        patch_size: side of a token in pixels.
        ratio: share of the patches that is predicted.
        seed: 0 .. 2**64 - 1; None draws one when the strategy is made, and shows it.
    """

    name = "tube"
    samples = (dict(seed=1), dict(num_frames=4, input_size=(32, 48), patch_size=8, ratio=0.5, seed=2))
    sampler_class = "maskkit_jepa_tube._sampler:TubeSampler"

    num_frames: int = field(default=16, validator=positive)
    tubelet_size: int = field(default=2, validator=positive)
    input_size: int | tuple[int, int] = field(default=224, validator=image_size)
    patch_size: int = field(default=16, validator=positive)
    ratio: float = field(default=0.9, validator=open_ratio)
    seed: int = field(default=None, converter=seed_or_new, validator=seed)

    def __attrs_post_init__(self) -> None:
        self.count()

    @property
    def grid(self) -> tuple[int, int, int]:
        return video_grid(self.num_frames, self.tubelet_size, self.input_size, self.patch_size)

    def count(self) -> int:
        """The patches of a frame that are predicted."""
        _, height, width = self.grid
        if height * width == 1:
            raise ConfigError(
                f"input_size must be larger than one patch of {self.patch_size}, got {self.input_size}: a tube of "
                f"the only patch leaves nothing to predict from"
            )
        return exact_count(self.ratio, height * width)


@hookimpl
def maskkit_strategies():
    return [Tube]
