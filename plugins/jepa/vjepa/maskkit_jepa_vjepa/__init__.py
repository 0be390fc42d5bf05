"""V-JEPA: predict blocks of a clip, many small ones and few large ones, from what they leave."""

import math
from typing import ClassVar

from attrs import field, frozen
from maskkit import ConfigError, Settings, hookimpl, one_of, optional, positive, ratio_range, scale_range
from maskkit_jepa import VideoRequest, VideoStrategy, listed, possible, share


@frozen(kw_only=True)
class VideoMask(Settings):
    """One mask of a clip: what its blocks hold is predicted from the rest, or the other way round.

    Attributes:
        label: the name under which the mask is given out.
        num_blocks: how many blocks there are; they may overlap.
        spatial_scale: area of a block, as a share of a frame; rounded to the nearest number of patches.
        temporal_scale: length of a block, as a share of the clip; rounded to the nearest number of slots.
        aspect_ratio_range: height / width of a block, as in V-JEPA's code.
        max_temporal_keep: share of the clip, from its beginning, that the context may see; the rest is predicted.
        max_keep: tokens of the context at most, others are left out at random; None for all.
        full_complement: whether what `max_keep` leaves out of the context is predicted too.
        inv_block: whether to see the blocks and predict the rest.
    """

    name = "vjepa mask"
    aliases: ClassVar = {"aspect_ratio": "aspect_ratio_range"}

    label: str = field()
    num_blocks: int = field(validator=positive)
    spatial_scale: tuple[float, float] = field(validator=scale_range)
    temporal_scale: tuple[float, float] = field(default=(1.0, 1.0), validator=scale_range)
    aspect_ratio_range: tuple[float, float] = field(default=(0.75, 1.5), validator=ratio_range)
    max_temporal_keep: float = field(default=1.0, validator=share)
    max_keep: int | None = field(default=None, validator=optional(positive))
    full_complement: bool = field(default=False, validator=one_of(False, True))
    inv_block: bool = field(default=False, validator=one_of(False, True))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.inv_block and self.max_temporal_keep < 1:
            raise ConfigError(
                f"max_temporal_keep must be 1 where inv_block=True puts the blocks into the context, got "
                f"{self.max_temporal_keep}; shorten the blocks by temporal_scale"
            )

    def request(self, grid: tuple[int, int, int], min_context: int, max_attempts: int) -> VideoRequest:
        """What is asked of the blocks, known to be possible."""
        if self.max_keep is not None and self.max_keep < min_context:
            raise ConfigError(
                f"masks[{self.label!r}]: max_keep must be at least min_context {min_context}, got {self.max_keep}"
            )
        request = VideoRequest(
            grid=grid,
            count=self.num_blocks,
            spatial_scale=self.spatial_scale,
            temporal_scale=self.temporal_scale,
            aspect=self.aspect_ratio_range,
            slots=max(1, math.floor(self.max_temporal_keep * grid[0] + 1e-9)),
            min_rest=1 if self.inv_block else min_context,
            max_attempts=max_attempts,
            where=f"masks[{self.label!r}]: ",
        )
        if self.inv_block and request.least_block < min_context:
            raise ConfigError(
                f"masks[{self.label!r}]: min_context: with inv_block=True a context may be one block of "
                f"{request.least_block} tokens, got {min_context}; raise spatial_scale or temporal_scale"
            )
        return request


SHORT = VideoMask(label="short", num_blocks=8, spatial_scale=(0.15, 0.15))
LONG = VideoMask(label="long", num_blocks=2, spatial_scale=(0.7, 0.7))


@frozen(kw_only=True)
class VJepa(VideoStrategy):
    """Several masks of a clip, each the union of boxes in time and space that is predicted from what it leaves.

    By default there are two, as in the paper: "short", 8 boxes of 15 % of the frame, and "long", 2 boxes of 70 %, all
    through the whole clip. Both are used for each clip. The boxes of a mask have one size for each clip, and lie
    anywhere.

    Source: Bardes et al. 2024 (V-JEPA), arXiv:2404.08471, section 3; options of V-JEPA 2, Assran et al. 2025,
    arXiv:2506.09985.

    Attributes:
        masks: the masks, a list of settings with a `label`, or a mapping of labels to settings: `num_blocks`,
            `spatial_scale`, `temporal_scale`, `aspect_ratio_range` (height / width), `max_temporal_keep`, `max_keep`,
            `full_complement`, `inv_block`.
        min_context: tokens that every context keeps at least.
        max_attempts: how often the blocks of a mask may be set down until they leave enough; after that all lie where
            the first one does, which leaves enough.
    """

    name = "vjepa"
    rules = (possible("requests"),)
    samples = (
        dict(seed=1),
        dict(
            num_frames=8,
            input_size=(32, 48),
            patch_size=8,
            masks=[
                dict(
                    label="early",
                    num_blocks=3,
                    spatial_scale=(0.2, 0.6),
                    temporal_scale=(0.3, 1.0),
                    max_temporal_keep=0.5,
                ),
                dict(label="seen", num_blocks=2, spatial_scale=(0.2, 0.3), temporal_scale=(0.5, 0.5), inv_block=True),
                dict(label="few", num_blocks=1, spatial_scale=(0.5, 0.5), max_keep=10, full_complement=True),
            ],
            min_context=4,
            seed=2,
        ),
    )
    aliases: ClassVar = {"mask": "masks", "crop_size": "input_size", "frames_per_clip": "num_frames"}
    sampler_class = "maskkit_jepa_vjepa._sampler:VJepaSampler"

    masks: tuple[VideoMask, ...] = field(default=(SHORT, LONG), converter=listed("masks", VideoMask, "label", "mask_"))
    min_context: int = field(default=1, validator=positive)
    max_attempts: int = field(default=20, validator=positive)

    def requests(self) -> tuple[VideoRequest, ...]:
        """What is asked of the blocks of each mask."""
        return tuple(mask.request(self.grid, self.min_context, self.max_attempts) for mask in self.masks)


@hookimpl
def maskkit_strategies():
    return [VJepa]
