"""Halves: one half of the image is predicted from the other."""

from attrs import field, frozen
from maskkit import ConfigError, hookimpl, non_negative
from maskkit_jepa import ImageStrategy, possible


@frozen(kw_only=True)
class Halves(ImageStrategy):
    """The left or the right half of an image is predicted from the other, each as often.

    Source: none; the smallest strategy there is.

    Attributes:
        gap: columns of patches between the halves that neither has.
    """

    name = "halves"
    rules = (possible("columns"),)
    samples = (dict(seed=1), dict(input_size=(32, 48), patch_size=8, gap=2, seed=2))
    sampler_class = "acme_halves._sampler:HalvesSampler"
    gap: int = field(default=0, validator=non_negative)

    def columns(self) -> int:
        """The columns of a half."""
        width = self.grid[1]
        if self.gap + 2 > width:
            raise ConfigError(f"gap must leave two of {width} columns, got {self.gap}; {width - 2} is the most")
        return (width - self.gap) // 2


@hookimpl
def maskkit_strategies():
    return [Halves]
