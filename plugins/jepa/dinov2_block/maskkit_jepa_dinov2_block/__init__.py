"""DINOv2: half of the images have blocks masked, of shares spread evenly over the batch."""

from typing import Any, ClassVar

from attrs import field, frozen
from maskkit import ConfigError, hookimpl, positive, ratio_range
from maskkit_jepa import BlockWise, ImageStrategy, exact_count, open_ratio, possible, share


@frozen(kw_only=True)
class Dinov2Block(ImageStrategy):
    """Of a share of the images, patches are masked in blocks, in each image another share of them.

    Whether an image is masked and how much of it are read off one number, which is spread evenly over any run of
    consecutive samples: of n of them, `n * image_share` are masked, give or take a few, and their ratios fill the range
    evenly. So the masked share of a batch hardly varies, as in DINOv2, and still each sample's masks are its own. A
    masked image has exactly its share of the patches masked, rounded down as in DINOv2's code; the others have no
    target, and the whole grid as context.

    Source: Oquab et al. 2023 (DINOv2), arXiv:2304.07193, sections 4 and 5, and the settings of its recipes; blocks as
    in Bao et al. 2022 (BEiT), arXiv:2106.08254, algorithm 1.

    Attributes:
        image_share: share of the images that are masked at all.
        ratio: share of the patches that are masked in such an image, a range.
        min_block: patches of a block at least, but where fewer are still wanted.
        max_block_share: share of the patches that a block adds at most.
        aspect_ratio_range: height / width of a block; its logarithm is uniform.
    """

    name = "dinov2_block"
    rules = (possible("counts", "blocks"),)
    samples = (
        dict(seed=1),
        dict(input_size=(64, 96), patch_size=8, image_share=1.0, ratio=(0.3, 0.3), min_block=2, seed=2),
    )
    aliases: ClassVar = {
        "mask_ratio_min_max": "ratio",
        "mask_sample_probability": "image_share",
        "min_num_patches": "min_block",
        "aspect_ratio": "aspect_ratio_range",
    }
    sampler_class = "maskkit_jepa_dinov2_block._sampler:Dinov2BlockSampler"

    image_share: float = field(default=0.5, validator=share)
    ratio: tuple[float, float] = field(default=(0.1, 0.5))
    min_block: int = field(default=4, validator=positive)
    max_block_share: float = field(default=0.5, validator=share)
    aspect_ratio_range: tuple[float, float] = field(default=(0.3, 1 / 0.3), validator=ratio_range)

    @ratio.validator
    def _check_ratio(self, attribute: Any, value: Any) -> None:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise ConfigError(f"ratio must be a pair (low, high), got {value!r}")
        for end in value:
            open_ratio(self, attribute, end)
        if value[0] > value[1]:
            raise ConfigError(f"ratio must be a pair (low, high) with low <= high, got {value!r}")

    @property
    def tokens(self) -> int:
        height, width = self.grid
        return height * width

    def counts(self) -> tuple[int, int]:
        """The fewest and the most patches that are masked in an image that is masked at all."""
        low, high = self.ratio
        return exact_count(low, self.tokens, rounding="floor"), exact_count(high, self.tokens, rounding="floor")

    def blocks(self) -> BlockWise:
        """What is drawn, known to be possible."""
        return BlockWise(
            grid=self.grid,
            smallest=self.min_block,
            largest=max(1, int(self.max_block_share * self.tokens)),
            aspect=self.aspect_ratio_range,
        )


@hookimpl
def maskkit_strategies():
    return [Dinov2Block]
