"""Random patches: a share of the patches, all equally likely, is predicted from the others."""

from typing import ClassVar

from attrs import field, frozen
from maskkit import hookimpl
from maskkit_jepa import ImageStrategy, exact_count, open_ratio, possible


@frozen(kw_only=True)
class RandomPatch(ImageStrategy):
    """A share of the patches is predicted from the others, as in masked autoencoders.

    Every image has exactly the same number of targets, each set of that many patches equally likely. The patches that
    are kept are rounded down, `int(n * (1 - ratio))` of n as in MAE's code; all others are predicted.

    Source: He et al. 2022 (MAE), arXiv:2111.06377, section 3, "Masking", and section 4.1 for the ratio.

    Attributes:
        ratio: share of the patches that is predicted.
    """

    name = "random_patch"
    rules = (possible("count"),)
    samples = (dict(seed=1), dict(input_size=(32, 48), patch_size=8, ratio=0.5, seed=2))
    aliases: ClassVar = {"mask_ratio": "ratio"}
    sampler_class = "maskkit_jepa_random_patch._sampler:RandomPatchSampler"

    ratio: float = field(default=0.75, validator=open_ratio)

    def count(self) -> int:
        """The patches that are predicted."""
        height, width = self.grid
        return exact_count(self.ratio, height * width, rounding="keep_floor")


@hookimpl
def maskkit_strategies():
    return [RandomPatch]
