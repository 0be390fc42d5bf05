"""Multimodal: text and image of a pair are masked in one call, each by a strategy of its own."""

from attrs import field, frozen
from maskkit import Strategy, hookimpl
from maskkit_jepa import SeededStrategy, strategy_config, with_seed


@frozen(kw_only=True)
class Multimodal(SeededStrategy):
    """Masks of a text and of an image for each pair, drawn independently by two strategies.

    By default spans of the text are predicted (`mlm`), and blocks of the image (`multi_block`). What a strategy takes
    besides goes by its name and that of the part: `strategy(batch_size, text_lengths=..., image_scores=...)`.

    Source: Joshi et al. 2020 (SpanBERT), arXiv:1907.10529, section 3.1, for the text; Assran et al. 2023 (I-JEPA),
    arXiv:2301.08243, section 3, for the image.

    Attributes:
        text: the strategy of the text: its name, or a mapping with a type. It is drawn from the seed given here.
        image: the strategy of the image, likewise.
    """

    name = "multimodal"
    samples = (
        dict(text=dict(type="mlm", unit="span", seq_len=64), seed=1),
        dict(
            text=dict(type="mlm", seq_len=32, vocab_size=100),
            image=dict(type="multi_block", input_size=96, num_target_masks=2, overlap="allow"),
            seed=2,
        ),
    )
    sampler_class = "maskkit_jepa_multimodal._sampler:MultimodalSampler"

    text: Strategy = field(default={"type": "mlm", "unit": "span"}, converter=strategy_config("text"))
    image: Strategy = field(default={"type": "multi_block"}, converter=strategy_config("image"))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for name, part in self.strategies().items():
            object.__setattr__(self, name, with_seed(part, self.seed))

    @property
    def grid(self) -> tuple[int, ...]:
        """That of the image; the text has its own, `text.grid`."""
        return self.image.grid

    def strategies(self) -> dict[str, Strategy]:
        """The strategies by the names of their parts."""
        return {"text": self.text, "image": self.image}


@hookimpl
def maskkit_strategies():
    return [Multimodal]
