"""Tube: the same random patches of every frame are predicted from the others."""

from attrs import field, frozen
from maskkit import ConfigError, hookimpl
from maskkit_jepa import VideoStrategy, exact_count, open_ratio, possible


@frozen(kw_only=True)
class Tube(VideoStrategy):
    """A share of the patches, the same in every frame, is predicted from the others.

    Every clip has exactly the same number of targets, each set of that many patches equally likely: the share of a
    frame's patches rounded to the nearest number.

    Source: Tong et al. 2022 (VideoMAE), arXiv:2203.12602, section 3.3.

    Attributes:
        ratio: share of the patches that is predicted.
    """

    name = "tube"
    rules = (possible("count"),)
    samples = (dict(seed=1), dict(num_frames=4, input_size=(32, 48), patch_size=8, ratio=0.5, seed=2))
    sampler_class = "maskkit_jepa_tube._sampler:TubeSampler"

    ratio: float = field(default=0.9, validator=open_ratio)

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
