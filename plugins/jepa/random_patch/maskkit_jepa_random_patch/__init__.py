"""Random patches: a share of the patches, all equally likely, is predicted from the others."""

from typing import ClassVar

from attrs import field, frozen
from maskkit import Strategy, hookimpl, positive, seed, seed_or_new
from maskkit_jepa import exact_count, image_grid, image_size, open_ratio


@frozen(kw_only=True)
class RandomPatch(Strategy):
    """A share of the patches is predicted from the others, as in masked autoencoders.

    Every image has exactly the same number of targets, each set of that many patches equally likely: the share of the
    patches rounded to the nearest number.

    Source: He et al. 2022 (MAE), arXiv:2111.06377, section 3, "Masking", and section 4.1 for the ratio.

    Attributes:
        input_size: side of the images in pixels, or (height, width); a multiple of the patch.
        patch_size: side of a patch in pixels.
        ratio: share of the patches that is predicted.
        seed: 0 .. 2**64 - 1; None draws one when the strategy is made, and shows it.
    """

    name = "random_patch"
    samples = (dict(seed=1), dict(input_size=(32, 48), patch_size=8, ratio=0.5, seed=2))
    aliases: ClassVar = {"mask_ratio": "ratio"}
    sampler_class = "maskkit_jepa_random_patch._sampler:RandomPatchSampler"

    input_size: int | tuple[int, int] = field(default=224, validator=image_size)
    patch_size: int = field(default=16, validator=positive)
    ratio: float = field(default=0.75, validator=open_ratio)
    seed: int = field(default=None, converter=seed_or_new, validator=seed)

    def __attrs_post_init__(self) -> None:
        self.count()

    @property
    def grid(self) -> tuple[int, int]:
        return image_grid(self.input_size, self.patch_size)

    def count(self) -> int:
        """The patches that are predicted."""
        height, width = self.grid
        return exact_count(self.ratio, height * width)


@hookimpl
def maskkit_strategies():
    return [RandomPatch]
