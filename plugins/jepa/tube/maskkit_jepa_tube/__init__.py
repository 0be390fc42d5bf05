"""Tube: the same random patches of every frame are predicted from the others."""

from attrs import field, frozen
from maskkit import ConfigError, hookimpl, one_of
from maskkit_jepa import VideoStrategy, exact_count, open_ratio, possible

_ROUNDINGS = {"floor": "floor", "ceil": "keep_floor"}


@frozen(kw_only=True)
class Tube(VideoStrategy):
    """A share of the patches, the same in every frame, is predicted from the others.

    Every clip has exactly the same number of targets, each set of that many patches equally likely: a share of the n
    patches of a frame, rounded.

    Source: Tong et al. 2022 (VideoMAE), arXiv:2203.12602, section 3.3; rounding="ceil": the random tubes of V-JEPA's
    code, Bardes et al. 2024, arXiv:2404.08471.

    Attributes:
        ratio: share of the patches that is predicted.
        rounding: "floor", `int(n * ratio)` are predicted, as in VideoMAE's code; "ceil", `int(n * (1 - ratio))` are
            seen, as in V-JEPA's.
    """

    name = "tube"
    rules = (possible("count"),)
    samples = (
        dict(seed=1),
        dict(num_frames=4, input_size=(32, 48), patch_size=8, ratio=0.55, rounding="ceil", seed=2),
    )
    sampler_class = "maskkit_jepa_tube._sampler:TubeSampler"

    ratio: float = field(default=0.9, validator=open_ratio)
    rounding: str = field(default="floor", validator=one_of(*_ROUNDINGS))

    def count(self) -> int:
        """The patches of a frame that are predicted."""
        _, height, width = self.grid
        if height * width == 1:
            raise ConfigError(
                f"input_size must be larger than one patch of {self.patch_size}, got {self.input_size}: a tube of "
                f"the only patch leaves nothing to predict from"
            )
        return exact_count(self.ratio, height * width, rounding=_ROUNDINGS[self.rounding])


@hookimpl
def maskkit_strategies():
    return [Tube]
