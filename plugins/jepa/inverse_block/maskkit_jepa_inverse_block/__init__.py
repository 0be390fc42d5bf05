"""Inverse blocks: a few blocks are kept, and all other patches are predicted from them."""

from typing import ClassVar

from attrs import field, frozen
from maskkit import ConfigError, hookimpl, non_negative, positive
from maskkit_jepa import ImageStrategy, exact_count, open_ratio


@frozen(kw_only=True)
class InverseBlock(ImageStrategy):
    """Square blocks at random places are kept, as many as the share that is kept takes; the rest is predicted.

    Blocks may overlap and are cut at the rim. What they miss of the number that is kept is added at random, what they
    have too many is taken away at random: every image keeps exactly the same number of patches, `int(n * (1 - ratio))`
    of n as in data2vec's code.

    Source: Baevski et al. 2022 (data2vec 2.0), arXiv:2212.07525, section 3.3, "inverse block masking"; the settings are
    those of its base model for images, which draws 16 masks of an image (num_views=16).

    Attributes:
        ratio: share of the patches that is predicted.
        block_size: side of a block in patches.
        adjust: share of the patches by which the blocks have more, all areas added up, than is kept: some overlap.
        num_views: masks of an image, independent of each other; with more than one a mapping `view_0 ..` is drawn.
    """

    name = "inverse_block"
    samples = (
        dict(seed=1),
        dict(input_size=(64, 96), patch_size=8, ratio=0.5, block_size=2, seed=2),
        dict(input_size=128, num_views=2, seed=3),
    )
    aliases: ClassVar = {
        "mask_prob": "ratio",
        "mask_ratio": "ratio",
        "mask_length": "block_size",
        "mask_prob_adjust": "adjust",
        "clone_batch": "num_views",
    }
    sampler_class = "maskkit_jepa_inverse_block._sampler:InverseBlockSampler"

    ratio: float = field(default=0.8, validator=open_ratio)
    block_size: int = field(default=3, validator=positive)
    adjust: float = field(default=0.07, validator=non_negative)
    num_views: int = field(default=1, validator=positive)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        height, width = self.grid
        fits = min(int(self.kept() ** 0.5), height, width)
        if self.block_size > fits:
            raise ConfigError(
                f"block_size must be at most {fits}, for {self.kept()} of {height} x {width} patches are kept, got "
                f"{self.block_size}; lower it or ratio"
            )

    def kept(self) -> int:
        """The patches that are kept."""
        height, width = self.grid
        return height * width - exact_count(self.ratio, height * width, rounding="keep_floor")

    def blocks(self) -> int:
        """The blocks that are set down: what data2vec's code draws, and one at least."""
        height, width = self.grid
        return max(1, int(height * width * ((1 - self.ratio + self.adjust) / self.block_size**2)))


@hookimpl
def maskkit_strategies():
    return [InverseBlock]
