"""Score-guided: what scores such as attention or loss point at is predicted from the rest."""

from typing import Any

from attrs import field, frozen
from maskkit import ConfigError, hookimpl, one_of, positive, probability
from maskkit_jepa import ImageStrategy, exact_count, open_ratio, share


@frozen(kw_only=True)
class ScoreGuided(ImageStrategy):
    """The tokens of the highest, the lowest, or more likely the high scores are predicted from the others.

    Scores are given with each call: `strategy(batch_size, scores=...)`, (B, N) finite numbers of any library, such as
    the attention of the CLS token or the loss that is expected of a patch. Each image has exactly its share of the
    tokens masked; tokens of equal score are taken at random.

    Source: Kakogeorgiou et al. 2022 (AttMask), arXiv:2203.12719, section 3, for `select`, `hint` and the range of the
    ratio; Wang et al. 2023 (Hard Patches Mining), arXiv:2304.05919, section 3.3, for scores from a loss and `mix`.

    Attributes:
        ratio: share of the tokens that is masked; or a pair (low, high), from which each image draws its own.
        select: "top", the highest scores; "bottom", the lowest; "gumbel", without replacement by chances in proportion
            to exp(score / temperature), which is uniform where all scores are equal.
        temperature: of "gumbel": the higher, the less scores matter.
        hint: share of the tokens that come first in the selection that is shown nevertheless, drawn at random; the next
            tokens are masked in their place.
        hint_among: which share of all tokens comes first, for `hint`.
        mix: share of the masked tokens that is drawn from all other tokens, whatever their score.
    """

    name = "score_guided"
    samples = (
        dict(seed=1),
        dict(input_size=(32, 48), patch_size=8, ratio=0.75, select="gumbel", temperature=0.1, seed=2),
        dict(input_size=96, ratio=0.5, hint=0.4, hint_among=0.2, seed=3),
        dict(input_size=96, ratio=0.75, select="bottom", mix=0.5, seed=4),
    )
    sampler_class = "maskkit_jepa_score_guided._sampler:ScoreGuidedSampler"

    ratio: float | tuple[float, float] = field(default=(0.1, 0.5))
    select: str = field(default="top", validator=one_of("top", "bottom", "gumbel"))
    temperature: float = field(default=1.0, validator=positive)
    hint: float = field(default=0.0, validator=probability)
    hint_among: float = field(default=0.1, validator=share)
    mix: float = field(default=0.0, validator=probability)

    @ratio.validator
    def _check_ratio(self, attribute: Any, value: Any) -> None:
        ends = value if isinstance(value, (tuple, list)) else (value,)
        for end in ends:
            open_ratio(self, attribute, end)
        if len(ends) > 2 or list(ends) != sorted(ends):
            raise ConfigError(f"ratio must be a number or a pair (low, high) with low <= high, got {value!r}")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        _, most = self.counts()
        if most + self.hints() > self.tokens:
            raise ConfigError(
                f"hint: {self.hints()} of the {self.first()} first tokens cannot be shown and {most} others be masked "
                f"among {self.tokens}, got {self.hint}; lower hint, hint_among or ratio"
            )

    @property
    def tokens(self) -> int:
        height, width = self.grid
        return height * width

    def counts(self) -> tuple[int, int]:
        """The fewest and the most tokens that are masked."""
        low, high = self.ratio if isinstance(self.ratio, (tuple, list)) else (self.ratio, self.ratio)
        return exact_count(low, self.tokens), exact_count(high, self.tokens)

    def first(self) -> int:
        """The tokens that come first in the selection, for hints."""
        return max(1, round(self.hint_among * self.tokens))

    def hints(self) -> int:
        """Those of them that are shown."""
        return round(self.hint * self.first())


@hookimpl
def maskkit_strategies():
    return [ScoreGuided]
