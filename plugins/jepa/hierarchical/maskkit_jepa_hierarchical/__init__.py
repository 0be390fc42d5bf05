"""Hierarchical: target blocks of several sizes, a set for each level, with a context for each."""

from functools import lru_cache
from typing import Any, ClassVar

from attrs import evolve, field, frozen
from maskkit import ConfigError, hookimpl, lazy, one_of, positive, ratio_range, scale_range
from maskkit_jepa import OVERLAPS, BlockPlan, BlockRequest, ImageStrategy, possible, sizes_inside

_MOST = 0.95
_SQUARE = (0.85, 1.15)


@frozen(kw_only=True)
class Hierarchical(ImageStrategy):
    """T target blocks and a context less the targets for each of L levels, from small blocks to large ones.

    Level l asks for targets of `base_scale` times 2**l (geometric) or 1 + l (linear), at most 95 % of the image: 5-15,
    10-30 and 20-60 %, or 5-15, 10-30 and 15-45 %. Level 0 keeps to nearly square blocks where the grid has such. The
    context block grows from 60-75 % to 90-100 %. Levels are drawn independently. A level is crowded if its largest
    target leaves no room for the others, be they the smallest; so is level 2 of both progressions with four targets.

    Source: Assran et al. 2023 (I-JEPA), arXiv:2301.08243, section 3, for the blocks; levels as in H-JEPA.

    Attributes:
        num_hierarchies: L, the number of levels.
        num_target_masks: T, how many blocks are predicted on each level.
        scale_progression: "geometric" or "linear".
        base_scale: area of a target on level 0, as a share of the image.
        aspect_ratio_range: width / height of a target; of the context block too, as far as the grid allows.
        max_attempts: how often a sample may start a level over before it takes an arrangement that is known to fit;
            with the legacy law how often a target may, before a block of fixed size is set down blindly.
        min_context: patches that every context keeps at least.
        overlap: "disjoint", no patch is in two targets of a level; "allow", patches may be; "legacy", the law of
            H-JEPA's generator, which promises neither sizes nor disjoint targets nor a context.
        crowded: with overlap="disjoint", what becomes of crowded levels: "overlap", their targets may overlap, and
            a warning says so; "clip", their largest size is lowered until T of it fit at once; "legacy", they are drawn
            by that law; "error", they are refused.
    """

    name = "hierarchical"
    rules = (possible("plans"),)
    samples = (
        dict(num_hierarchies=2, seed=1),
        dict(input_size=(96, 160), num_target_masks=2, scale_progression="linear", min_context=5, seed=2),
        dict(crowded="clip", seed=3),
        dict(crowded="overlap", num_hierarchies=4, seed=4),
        dict(overlap="legacy", seed=5),
    )
    aliases: ClassVar = {
        "num_masks": "num_target_masks",
        "num_masks_per_level": "num_target_masks",
        "aspect_ratio": "aspect_ratio_range",
    }
    sampler_class = "maskkit_jepa_hierarchical._sampler:HierarchicalMaskGenerator"

    num_hierarchies: int = field(default=3, validator=positive)
    num_target_masks: int = field(default=4, validator=positive)
    scale_progression: str = field(default="geometric", validator=one_of("geometric", "linear"))
    base_scale: tuple[float, float] = field(default=(0.05, 0.15), validator=scale_range)
    aspect_ratio_range: tuple[float, float] = field(default=(0.75, 1.5), validator=ratio_range)
    max_attempts: int = field(default=10, validator=positive)
    min_context: int = field(default=1, validator=positive)
    overlap: str = field(default="disjoint", validator=one_of(*OVERLAPS))
    crowded: str = field(default="overlap", validator=one_of("overlap", "clip", "legacy", "error"))

    @property
    def level_configs(self) -> list[dict[str, Any]]:
        """What each level asks for, and what it gets: its number, scales, and how its targets may overlap."""
        return [
            dict(
                level=level,
                target_scale=self.request(level).target_scale,
                context_scale=self.request(level).context_scale,
                effective_target_scale=_extent(plan),
                overlap=plan.overlap,
            )
            for level, plan in enumerate(self.plans())
        ]

    def request(self, level: int) -> BlockRequest:
        """What a level asks for."""
        height, width = self.grid
        factor = 2**level if self.scale_progression == "geometric" else 1 + level
        start = 0.6 + 0.3 * level / max(1, self.num_hierarchies - 1)
        return BlockRequest(
            grid=self.grid,
            count=self.num_target_masks,
            target_scale=tuple(min(_MOST, end * factor) for end in self.base_scale),
            context_scale=(min(_MOST, start), min(1.0, start + 0.15)),
            aspect=self._aspect(level),
            min_context=self.min_context,
            max_attempts=self.max_attempts,
            blind=(max(1, height // (level + 2)), max(1, width // (level + 2))),
            scale_name=f"base_scale at level {level}",
        )

    def plans(self) -> tuple[BlockPlan, ...]:
        """What each level draws, known to be possible."""
        return tuple(_plan(self.request(level), self.overlap, self.crowded) for level in range(self.num_hierarchies))

    def _aspect(self, level: int) -> tuple[float, float]:
        """Level 0 keeps to nearly square blocks, unless the range or the grid has none."""
        low, high = self.aspect_ratio_range
        if level:
            return low, high
        low, high = max(low, _SQUARE[0]), min(high, _SQUARE[1])
        if self.overlap == "legacy":
            return min(low, high), max(low, high)
        fits = low <= high and sizes_inside(self.grid, self.base_scale, (low, high))
        return (low, high) if fits else self.aspect_ratio_range


@lru_cache(maxsize=64)
def _plan(request: BlockRequest, overlap: str, crowded: str) -> BlockPlan:
    if overlap != "disjoint" or not request.is_crowded():
        return request.plan(overlap)
    if crowded == "clip":
        return evolve(request, target_scale=request.clipped_scale()).plan("disjoint")
    if crowded == "error":
        low, high = request.clipped_scale()
        way = f"({low:.4g}, {high:.4g}) is not, or use crowded='overlap', 'clip' or 'legacy'"
        if (low, high) == request.target_scale:  # no size of the range fits so often
            way = "lower num_target_masks or base_scale, or use crowded='overlap' or 'legacy'"
        raise ConfigError(
            f"{request.scale_name}: {request.count} targets of {request.target_scale} are crowded, the largest leaves "
            f"no room for the others; {way}"
        )
    return request.plan("allow" if crowded == "overlap" else "legacy")


def _extent(plan: BlockPlan) -> tuple[float, float]:
    """The least and the largest share of the grid that a target has."""
    areas = [size.area for size in plan.targets]
    return min(areas) / plan.tokens, max(areas) / plan.tokens


@hookimpl
def maskkit_strategies():
    return [Hierarchical]


__getattr__ = lazy(__name__, "HierarchicalMaskGenerator", source="_sampler")
