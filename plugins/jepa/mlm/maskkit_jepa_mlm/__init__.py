"""MLM: tokens or spans of text are predicted from the rest, as in BERT and SpanBERT."""

from attrs import evolve, field, frozen
from maskkit import ConfigError, hookimpl, one_of, optional, positive, probability
from maskkit.validators import Rule
from maskkit_jepa import SeededStrategy, open_ratio

_texts = evolve(
    positive,
    rule="must be at least 2",
    test=lambda value: value >= 2 and positive.test(value),
    hint=lambda value: positive.hint(value) or "; one token leaves nothing to predict from",
)
_vocabularies = Rule("must be 2**31 or less and positive", lambda value: 0 < value <= 2**31, number=True)


@frozen(kw_only=True)
class Mlm(SeededStrategy):
    """A share of a text's tokens is predicted; most of them are replaced by a mask token, some by a random one.

    Padding and special tokens are never predicted: `strategy(batch_size, lengths=..., special_tokens_mask=...)`, as
    tokenizers give them. Of the others each text has exactly its share predicted, rounded to the nearest number, one at
    least; the context is everything else that is no padding. What becomes of a predicted token is drawn for each token,
    or for each span.

    Words are given with each call: `strategy(batch_size, word_ids=...)`, (B, N) integers, -1 for tokens of no word, or
    for each text the list that `word_ids()` of a fast tokenizer gives. A word is a run of tokens with one id, and is
    predicted whole or not at all; so the number of tokens is the one nearest to the share that words can add up to.

    Source: Devlin et al. 2019 (BERT), arXiv:1810.04805, section 3.1 and appendix A.1; spans: Joshi et al. 2020
    (SpanBERT), arXiv:1907.10529, section 3.1; words: "whole word masking" of BERT's code.

    Attributes:
        seq_len: tokens of a text, padding included.
        ratio: share of the tokens that is predicted.
        unit: "token", every set of so many tokens equally likely; "span", runs of tokens; "word", whole words, taken in
            random order.
        span_probability: of "span": the length of a span has a geometric law with this parameter, so that shorter ones
            are likelier.
        max_span: of "span": the longest span, in tokens.
        mask_share: share of the predicted tokens that is replaced by the mask token.
        random_share: share of the predicted tokens that is replaced by a random token; the rest stays.
        vocab_size: number of token ids; if given, `random_ids` holds one drawn uniformly for each token.
    """

    name = "mlm"
    samples = (
        dict(seq_len=64, seed=1),
        dict(seq_len=40, unit="span", vocab_size=1000, seed=2),
        dict(seq_len=30, unit="span", ratio=0.8, mask_share=1.0, random_share=0.0, seed=3),
        dict(seq_len=48, unit="word", seed=4),
    )
    sampler_class = "maskkit_jepa_mlm._sampler:MlmSampler"

    seq_len: int = field(default=512, validator=_texts)
    ratio: float = field(default=0.15, validator=open_ratio)
    unit: str = field(default="token", validator=one_of("token", "span", "word"))
    span_probability: float = field(default=0.2, validator=open_ratio)
    max_span: int = field(default=10, validator=positive)
    mask_share: float = field(default=0.8, validator=probability)
    random_share: float = field(default=0.1, validator=probability)
    vocab_size: int | None = field(default=None, validator=optional(_vocabularies))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.mask_share + self.random_share > 1 + 1e-9:
            raise ConfigError(
                f"mask_share and random_share must be 1 or less together, got {self.mask_share} and {self.random_share}"
            )

    @property
    def grid(self) -> tuple[int]:
        return (self.seq_len,)


@hookimpl
def maskkit_strategies():
    return [Mlm]
