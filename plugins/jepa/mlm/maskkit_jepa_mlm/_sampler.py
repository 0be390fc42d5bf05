"""The sampler of masked language modelling."""

from typing import Any

import numpy as np
from maskkit import ConfigError
from maskkit_jepa import MaskBatch, Sampler, choose, fork, integers, uniform

from . import Mlm
from ._runs import span_numbers
from ._words import check_given, choose_words, in_whole_words, word_array, word_numbers

_FORK_CHOICE, _FORK_FATE, _FORK_IDS = range(3)


class MlmSampler(Sampler):
    """Draws context (B, N) and targets (B, 1, N), and what becomes of each target: `mask`, `random`, `keep`."""

    config_class = Mlm
    takes = ("lengths", "attention_mask", "special_tokens_mask", "word_ids")

    def prepare(self) -> None:
        self.least_context = self.least_target = 1

    def draw(
        self,
        keys: Any,
        step: int | None = None,
        lengths: Any = None,
        attention_mask: Any = None,
        special_tokens_mask: Any = None,
        word_ids: Any = None,
    ) -> MaskBatch:
        real = self._real(len(keys), lengths, attention_mask)
        open_to = (
            real if special_tokens_mask is None else real & ~self._flags("special_tokens_mask", special_tokens_mask)
        )
        words = self._words(real, word_ids)
        if words is not None:
            open_to = in_whole_words(words, open_to)
        count = self._count(real, open_to)
        if words is not None:
            most = np.minimum(open_to.sum(axis=1), real.sum(axis=1) - 1)
            targets, drawn_for = choose_words(fork(keys, _FORK_CHOICE), words, open_to, count, most), None
        elif self.unit == "span":
            law = np.cumsum(self.span_probability * (1 - self.span_probability) ** np.arange(self.max_span))
            spans = span_numbers(fork(keys, _FORK_CHOICE), count, open_to, law / law[-1])
            targets, drawn_for = spans >= 0, np.maximum(spans, 0)
        else:
            targets = choose(fork(keys, _FORK_CHOICE), 0, count, open_to)
            drawn_for = None
        return MaskBatch(
            context=real & ~targets,
            targets=targets[:, None],
            grid=self.grid,
            sample_keys=keys,
            extra=self._fates(keys, targets, drawn_for),
        )

    def as_array(self, name: str, values: Any) -> Any:
        """Word ids may be lists with None, as `word_ids()` of tokenizers gives them."""
        return word_array(values, self.seq_len) if name == "word_ids" else super().as_array(name, values)

    def example(self, size: int) -> dict[str, Any]:
        """Words of one and two tokens in turn, where words are needed."""
        if self.unit != "word":
            return {}
        return {"word_ids": np.tile((2 * np.arange(self.seq_len) + 1) // 3, (size, 1))}

    def _words(self, real: Any, word_ids: Any) -> Any:
        """The numbers of the words that tokens are in: (B, N); None for other units."""
        if self.unit != "word":
            if word_ids is not None:
                raise ConfigError(f"word_ids are for unit='word', got them with unit={self.unit!r}; leave them out")
            return None
        if word_ids is None:
            raise ConfigError(
                "mlm with unit='word' needs word_ids with each call, the list of word_ids() of a fast tokenizer for "
                "each text: strategy(batch_size, word_ids=...)"
            )
        check_given(word_ids, real)
        return word_numbers(np.where(real, word_ids, -1))

    def _fates(self, keys: Any, targets: Any, spans: Any) -> dict[str, Any]:
        """What becomes of each target; all of a span share it."""
        chance = uniform(fork(keys, _FORK_FATE), 0, self.seq_len)
        if spans is not None:
            chance = np.take_along_axis(chance, spans, axis=1)
        mask = targets & (chance < self.mask_share)
        random = targets & ~mask & (chance < self.mask_share + self.random_share)
        found = {"mask": mask, "random": random, "keep": targets & ~mask & ~random}
        if self.vocab_size is not None:
            found["random_ids"] = integers(fork(keys, _FORK_IDS), 0, self.seq_len, self.vocab_size)
        return found

    def _real(self, size: int, lengths: Any, attention_mask: Any) -> Any:
        """Which tokens are no padding: (B, N)."""
        if attention_mask is not None:
            if lengths is not None:
                raise ConfigError("lengths and attention_mask both say where padding is; give one of them")
            return self._flags("attention_mask", attention_mask)
        if lengths is None:
            return np.ones((size, self.seq_len), np.bool_)
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.max() > self.seq_len:
            raise ConfigError(
                f"lengths must be integers (B,), at most seq_len {self.seq_len}, got shape {lengths.shape}, dtype "
                f"{lengths.dtype} and {lengths.max()} at most"
            )
        return np.arange(self.seq_len) < lengths[:, None]

    def _flags(self, name: str, values: Any) -> Any:
        """0 and 1 as tokenizers give them, as booleans (B, N)."""
        if values.ndim != 2 or values.shape[1] != self.seq_len or values.dtype.kind not in "biu":
            raise ConfigError(
                f"{name} must be zeros and ones (B, {self.seq_len}), got shape {values.shape} and dtype {values.dtype}"
            )
        if values.dtype.kind != "b" and ((values < 0) | (values > 1)).any():
            raise ConfigError(f"{name} must be zeros and ones, got {values.min()} .. {values.max()}")
        return values != 0

    def _count(self, real: Any, open_to: Any) -> Any:
        """How many tokens of each text are predicted: (B,); one stays to predict from."""
        count = np.floor(self.ratio * open_to.sum(axis=1) + 0.5).astype(np.int64)
        count = np.minimum(np.maximum(count, 1), np.minimum(open_to.sum(axis=1), real.sum(axis=1) - 1))
        if count.min() < 1:
            row = int(count.argmin())
            raise ConfigError(
                f"row {row} has {real[row].sum()} tokens, of which {open_to[row].sum()} may be predicted, and there "
                f"must be 2 and 1: leave such texts out of the batch"
            )
        return count
