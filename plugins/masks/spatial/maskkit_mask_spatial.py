"""Spatial: pixels inside or outside of some regions are blocked."""

from typing import Any

from attrs import field, frozen
from maskkit import Mask, array, as_array, by_content, hookimpl, one_of, optional, positive, shaped, take


@frozen(kw_only=True)
class Spatial(Mask):
    """All pixels are allowed but those inside of some regions, or all but those outside.

    Source: Cheng et al. 2022 (Mask2Former), arXiv:2112.01527, section 3.2.1, whose masked attention is "outside".

    Attributes:
        height: rows of pixels.
        width: columns of pixels.
        attention_regions: booleans (height, width) of any array library, True inside a region; None blocks nothing, in
            either mode.
        mask_mode: the side that is blocked, "inside" or "outside".
    """

    name = "spatial"
    axes = ("height", "width")
    rules = (shaped("attention_regions", "height", "width"),)
    samples = (
        dict(height=3, width=5, attention_regions=[[True] * 2 + [False] * 3, [False] * 5, [True] * 5]),
        dict(height=2, width=3, attention_regions=[[True, False, True], [False] * 3], mask_mode="outside"),
        dict(height=4, width=3),
    )
    height: int = field(validator=positive)
    width: int = field(validator=positive)
    attention_regions: Any = field(
        default=None, converter=as_array, validator=optional(array(ndim=2, dtype="bool")), eq=by_content
    )
    mask_mode: str = field(default="inside", validator=one_of("inside", "outside"))

    @property
    def shape(self):
        return (self.height, self.width)

    def allows(self, y, x):
        if self.attention_regions is None:
            return (y >= 0) & (x >= 0)  # every pixel
        inside = take(self.attention_regions, y, x)
        return ~inside if self.mask_mode == "inside" else inside

    @classmethod
    def recognize(cls, spans):
        return dict(height=spans.shape[0], width=spans.limit, attention_regions=~spans.to_bool())


@hookimpl
def maskkit_masks():
    return [Spatial]
