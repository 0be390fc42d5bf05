"""BEiT: blocks over each other, a fixed share of the patches, are predicted from the others."""

from typing import ClassVar

from attrs import field, frozen
from maskkit import hookimpl, positive, ratio_range
from maskkit_jepa import BlockWise, ImageStrategy, exact_count, open_ratio, possible


@frozen(kw_only=True)
class BeitBlock(ImageStrategy):
    """Blocks are set down over each other until a share of the patches is masked, which is predicted from the others.

    Every image has exactly the same number of targets: the share of the patches rounded to the nearest number. A block
    adds no more than is still wanted; where ten tries find no such block, the mask grows from its rim instead.

    Source: Bao et al. 2022 (BEiT), arXiv:2106.08254, section 2.3 and algorithm 1; its code stops short of the number in
    a third of the images.

    Attributes:
        ratio: share of the patches that is predicted; 0.383 are the paper's 75 of 196.
        min_block: patches of a block at least, but where fewer are still wanted.
        aspect_ratio_range: height / width of a block; its logarithm is uniform.
    """

    name = "beit_block"
    rules = (possible("blocks"),)
    samples = (dict(seed=1), dict(input_size=(64, 96), patch_size=8, ratio=0.5, min_block=4, seed=2))
    aliases: ClassVar = {"mask_ratio": "ratio", "min_num_patches": "min_block", "aspect_ratio": "aspect_ratio_range"}
    sampler_class = "maskkit_jepa_beit_block._sampler:BeitBlockSampler"

    ratio: float = field(default=0.383, validator=open_ratio)
    min_block: int = field(default=16, validator=positive)
    aspect_ratio_range: tuple[float, float] = field(default=(0.3, 1 / 0.3), validator=ratio_range)

    def count(self) -> int:
        """The patches that are predicted."""
        height, width = self.grid
        return exact_count(self.ratio, height * width)

    def blocks(self) -> BlockWise:
        """What is drawn, known to be possible."""
        return BlockWise(grid=self.grid, smallest=self.min_block, largest=self.count(), aspect=self.aspect_ratio_range)


@hookimpl
def maskkit_strategies():
    return [BeitBlock]
