"""Multi-block: predict several disjoint blocks of an image from one large block around them."""

from typing import ClassVar

from attrs import field, frozen
from maskkit import hookimpl, lazy, one_of, positive, ratio_range, scale_range
from maskkit_jepa import OVERLAPS, BlockPlan, BlockRequest, ImageStrategy, possible


@frozen(kw_only=True)
class MultiBlock(ImageStrategy):
    """T target blocks, disjoint and of the sizes asked for, and a context block less the targets.

    A target's area and its width / height lie in the ranges given; among the sizes that do, the law is that of a scale
    and an aspect drawn uniformly and rounded to patches. Whether so many fit is decided when the config is made.

    Source: Assran et al. 2023 (I-JEPA), arXiv:2301.08243, section 3 and appendix A.1, for the blocks.

    Attributes:
        num_target_masks: T, how many blocks are predicted.
        target_scale: area of a target, as a share of the image.
        context_scale: area of the context block before the targets are taken out of it, as a share of the image.
        aspect_ratio_range: width / height of a target; of the context block too, as far as the grid allows.
        max_attempts: how often a sample may start over before it takes an arrangement that is known to fit; with
            overlap="legacy" how often a target may, before a small block is set down blindly.
        min_context: patches that every context keeps at least.
        num_context_masks: contexts of a sample; there is one.
        overlap: "disjoint", no patch is in two targets; "allow", patches may be; "legacy", the law of H-JEPA's
            generator, which promises neither sizes nor disjoint targets nor a context.
    """

    name = "multi_block"
    rules = (possible("plan"),)
    samples = (
        dict(seed=1),
        dict(input_size=(32, 48), patch_size=4, num_target_masks=2, min_context=20, seed=2),
        dict(input_size=96, num_target_masks=3, overlap="allow", seed=3),
        dict(overlap="legacy", seed=4),
    )
    aliases: ClassVar = {
        "num_masks": "num_target_masks",
        "mask_scale": "target_scale",
        "target_mask_scale": "target_scale",
        "context_mask_scale": "context_scale",
        "aspect_ratio": "aspect_ratio_range",
    }
    sampler_class = "maskkit_jepa_multi_block._sampler:MultiBlockMaskGenerator"

    num_target_masks: int = field(default=4, validator=positive)
    target_scale: tuple[float, float] = field(default=(0.15, 0.2), validator=scale_range)
    context_scale: tuple[float, float] = field(default=(0.85, 1.0), validator=scale_range)
    aspect_ratio_range: tuple[float, float] = field(default=(0.75, 1.5), validator=ratio_range)
    max_attempts: int = field(default=10, validator=positive)
    min_context: int = field(default=1, validator=positive)
    num_context_masks: int = field(default=1, validator=one_of(1))
    overlap: str = field(default="disjoint", validator=one_of(*OVERLAPS))

    def plan(self) -> BlockPlan:
        """What is drawn, known to be possible."""
        return self.request().plan(self.overlap)

    def request(self) -> BlockRequest:
        """What is asked for."""
        height, width = self.grid
        return BlockRequest(
            grid=self.grid,
            count=self.num_target_masks,
            target_scale=self.target_scale,
            context_scale=self.context_scale,
            aspect=self.aspect_ratio_range,
            min_context=self.min_context,
            max_attempts=self.max_attempts,
            blind=(max(1, height // 4), max(1, width // 4)),
        )


@hookimpl
def maskkit_strategies():
    return [MultiBlock]


__getattr__ = lazy(__name__, "MultiBlockMaskGenerator", source="_sampler")
