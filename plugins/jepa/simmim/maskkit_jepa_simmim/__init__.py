"""SimMIM: random units of several patches are predicted from the others."""

from typing import ClassVar

from attrs import field, frozen
from maskkit import hookimpl, multiple, positive
from maskkit_jepa import ImageStrategy, exact_count, image_grid, image_size, open_ratio, possible


@frozen(kw_only=True)
class SimMim(ImageStrategy):
    """A share of square units, larger than the model's patches, is predicted from the others.

    Every image has exactly the same number of masked units, each set of that many equally likely: the share of the
    units rounded up, `ceil(units * ratio)` as in SimMIM's code. A patch is masked if its unit is.

    Source: Xie et al. 2022 (SimMIM), arXiv:2111.09886, section 3.2, "patch-aligned random masking"; for ViT, which has
    patches of 16 pixels, patch_size=16.

    Attributes:
        input_size: side of the images in pixels, or (height, width); a multiple of the unit.
        patch_size: side of a patch of the model in pixels; 4 is Swin's.
        unit_size: side of a unit in pixels; a multiple of the patch.
        ratio: share of the units that is predicted.
    """

    name = "simmim"
    rules = (multiple("unit_size", "patch_size"), possible("count"))
    samples = (
        dict(patch_size=16, seed=1),
        dict(seed=2),
        dict(input_size=(64, 96), patch_size=8, unit_size=16, ratio=0.4, seed=3),
    )
    aliases: ClassVar = {"mask_patch_size": "unit_size", "model_patch_size": "patch_size", "mask_ratio": "ratio"}
    sampler_class = "maskkit_jepa_simmim._sampler:SimMimSampler"

    input_size: int | tuple[int, int] = field(default=192, validator=image_size)
    patch_size: int = field(default=4, validator=positive)
    unit_size: int = field(default=32, validator=positive)
    ratio: float = field(default=0.6, validator=open_ratio)

    @property
    def units(self) -> tuple[int, int]:
        """Units along each axis."""
        return image_grid(self.input_size, self.unit_size, "unit_size")

    def count(self) -> int:
        """The units that are predicted."""
        height, width = self.units
        return exact_count(self.ratio, height * width, rounding="ceil")


@hookimpl
def maskkit_strategies():
    return [SimMim]
