"""I-JEPA: predict several blocks of one size, which may overlap, from a large square less the blocks."""

import math
from typing import ClassVar

from attrs import field, frozen
from maskkit import ConfigError, hookimpl, one_of, positive, ratio_range, scale_range
from maskkit_jepa import BlockPlan, BlockRequest, ImageStrategy


@frozen(kw_only=True)
class IJepa(ImageStrategy):
    """T target blocks of one size, anywhere on the grid, and a square context block less the targets.

    A target's area and its height / width lie in the ranges given; among the sizes that do, the law is that of a scale
    and an aspect drawn uniformly and rounded to patches. Targets may overlap each other, the context never overlaps
    them.

    The sizes of a sample are drawn from its own key; with size_per="step", where targets of equal size are wanted to
    stack, from seed and step, so that all ranks draw the same at one step. Places are drawn from the sample's key
    always.

    Source: Assran et al. 2023 (I-JEPA), arXiv:2301.08243, section 3 and appendix A.1, whose settings are the defaults.

    Attributes:
        num_target_masks: T, how many blocks are predicted.
        target_scale: area of a target, as a share of the image.
        context_scale: area of the context block before the targets are taken out of it, as a share of the image.
        aspect_ratio_range: height / width of a target, as in I-JEPA's code; the context block is square, as far as the
            grid allows.
        max_attempts: how often a sample may start over before its targets all go into one corner, which is known to
            leave enough; with compat=True how often a context may, before one target less is taken out of it.
        min_context: patches that every context keeps at least; with compat=True one more.
        num_context_masks: contexts of a sample; there is one.
        size_per: "sample", each sample draws its sizes; "step", all samples of a step share them, on every rank.
        compat: whether to draw by the law of I-JEPA's code: one number decides scale and aspect, blocks are smaller
            than the grid and never touch its last row and column, and a context that stays too small keeps patches of
            targets.
    """

    name = "ijepa"
    samples = (
        dict(seed=1),
        dict(input_size=(32, 48), patch_size=4, num_target_masks=2, min_context=50, seed=2),
        dict(size_per="step", seed=3),
        dict(compat=True, seed=4),
    )
    aliases: ClassVar = {
        "npred": "num_target_masks",
        "num_pred_masks": "num_target_masks",
        "pred_mask_scale": "target_scale",
        "enc_mask_scale": "context_scale",
        "aspect_ratio": "aspect_ratio_range",
        "min_keep": "min_context",
        "nenc": "num_context_masks",
        "num_enc_masks": "num_context_masks",
    }
    sampler_class = "maskkit_jepa_ijepa._sampler:IJepaSampler"

    num_target_masks: int = field(default=4, validator=positive)
    target_scale: tuple[float, float] = field(default=(0.15, 0.2), validator=scale_range)
    context_scale: tuple[float, float] = field(default=(0.85, 1.0), validator=scale_range)
    aspect_ratio_range: tuple[float, float] = field(default=(0.75, 1.5), validator=ratio_range)
    max_attempts: int = field(default=20, validator=positive)
    min_context: int = field(default=10, validator=positive)
    num_context_masks: int = field(default=1, validator=one_of(1))
    size_per: str = field(default="sample", validator=one_of("sample", "step"))
    compat: bool = field(default=False, validator=one_of(False, True))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.compat:
            self._check_compat()
        else:
            self.plan()

    def plan(self) -> BlockPlan:
        """What is drawn without compat=True, known to be possible."""
        return self.request().plan("allow")

    def request(self) -> BlockRequest:
        """What is asked for."""
        return BlockRequest(
            grid=self.grid,
            count=self.num_target_masks,
            target_scale=self.target_scale,
            context_scale=self.context_scale,
            aspect=self.aspect_ratio_range,
            context_aspect=(1.0, 1.0),
            upright=True,
            one_size=True,
            min_context=self.min_context,
            max_attempts=self.max_attempts,
        )

    def _check_compat(self) -> None:
        """Every context block must be larger than `min_context`: I-JEPA's code looks for ever for one that is."""
        height, width = self.grid
        if min(self.grid) < 2:
            raise ConfigError(
                f"input_size must give 2 x 2 patches or more with compat=True, since blocks are smaller than the grid, "
                f"got {self.input_size}, which gives {height} x {width}; enlarge it or use compat=False"
            )
        side = max(1, round(math.sqrt(int(height * width * self.context_scale[0]))))
        area = min(side, height - 1) * min(side, width - 1)
        if area <= self.min_context:
            raise ConfigError(
                f"min_context must be below {area}, the patches of the smallest context block on a {height} x {width} "
                f"grid with compat=True, got {self.min_context}; lower it, raise context_scale, or use compat=False"
            )
        if self.num_target_masks > height * width:
            raise ConfigError(
                f"num_target_masks must be at most {height * width} on a {height} x {width} grid, got "
                f"{self.num_target_masks}"
            )


@hookimpl
def maskkit_strategies():
    return [IJepa]
