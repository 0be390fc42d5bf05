"""`recognize`: the name of a mask, from its array alone."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
import maskkit
from maskkit import AttentionMask, ConfigError, MaskGroup
from maskkit_audit import recognize

CLASSES = [cls for name in maskkit.names("mask") if not issubclass(cls := maskkit.find(name, "mask"), MaskGroup)]
SAMPLES = [pytest.param(cls, params, id=f"{cls.name}-{i}") for cls in CLASSES for i, params in enumerate(cls.samples)]


def equal(found, mask):
    """Whether a mask that was recognised allows what the other does."""
    ours, theirs = found.allowed(), mask.allowed()
    return (ours.reshape(ours.shape[ours.ndim - theirs.ndim :]) == theirs).all()


@pytest.mark.parametrize(("cls", "params"), SAMPLES)
def test_every_mask_of_the_catalogue_is_recognised_as_something_equal(cls, params):
    mask = cls(**params)
    found = recognize(mask.allowed(), axes=mask.axes)
    assert found.exact, found
    assert equal(found.mask, mask), found


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, AttentionMask)], ids=lambda cls: cls.name)
def test_every_attention_mask_reads_its_parameters_off(cls):
    """At a length at which no simpler mask is the same, it has its own name, or one that is no longer."""
    mask = cls(**max(cls.samples, key=lambda params: np.prod(cls(**params).shape)))
    own = cls.recognize(_spans(mask)) if mask.shape[-1] == mask.shape[-2] else None
    assert own is None or recognize(cls(**own)).exact


def _spans(mask):
    from maskkit_audit._patterns import spans_of

    return spans_of(mask)


EXPRESSIONS = [
    "causal",
    "sliding_window(window_size=100)",
    "causal & document(lengths=[341, 171, 512])",
    "sliding_window(window_size=51) & document(lengths=[341, 171, 512])",
    "causal & key_padding(lengths=[1000, 512])",
    "sink(window_size=20) & document(lengths=[341, 171, 512])",
    "causal & ~chunked(chunk_size=64)",
    "prefix_lm(prefix_len=[10, 20])",
    "banded(band_width=9) | key_padding(lengths=[3])",
    "bigbird(seed=5)",
    "strided(stride=32)",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_expression_comes_back_at_1024_tokens(expression):
    mask = maskkit.parse(expression, seq_len=1024)
    axes = mask.axes if mask.shape[0] != 1 else ("query", "key")
    array = mask.allowed() if axes == mask.axes else mask.allowed()[0]
    found = recognize(array, axes=axes)
    assert found.exact
    assert found.expression == expression
    assert (maskkit.parse(found.expression, seq_len=1024).allowed() == array).all()


def test_three_parts_are_found_in_about_a_second():
    mask = maskkit.parse("causal & document(lengths=[341, 171, 512]) & banded(band_width=101)", seq_len=1024)
    array = mask.allowed()
    recognize(array[:64, :64])  # imports
    start = time.process_time()
    found = recognize(array)
    assert found.exact
    assert time.process_time() - start < 3  # one second on a machine that has nothing else to do


def test_images_in_a_causal_text():
    """Causal, but tokens of one image see each other."""
    image = np.array([0, 1, 1, 1, 2, 3, 4, 4, 5, 6])
    allowed = np.tri(10, dtype=bool) | (image[:, None] == image)
    found = recognize(allowed)
    assert found.exact
    assert equal(found.mask, maskkit.from_array(allowed, true="allowed"))


def test_where_it_departs_from_the_nearest():
    allowed = np.tri(32, dtype=bool)
    allowed[3, 9] = allowed[7, 9] = True
    found = recognize(allowed)
    assert not found
    assert found.expression == "causal"
    assert found.rows.ravel().tolist() == [3, 7]
    assert str(found) == "near causal, but for 2 pairs in rows 3, 7"


def test_heads_of_their_own():
    heads = maskkit.stack([maskkit.create("causal", seq_len=12), maskkit.create("banded", seq_len=12, band_width=3)])
    found = recognize(heads)
    assert found.exact
    assert found.expression == "stack([causal, banded(band_width=3)], axis='head')"
    assert equal(found.mask, heads)


@pytest.mark.parametrize(
    ("mask", "expression"),
    [
        (np.tri(12, dtype=bool)[-1:], "everything is allowed"),
        (np.tri(12, dtype=bool)[-3:], "causal[-3:, :]"),
        (np.tri(3, 8, dtype=bool), "causal[:3, :]"),
        (np.tri(8, 5, dtype=bool), "causal[:, :5]"),
        (np.zeros((4, 4), bool), "nothing is allowed"),
    ],
)
def test_rectangles_and_extremes(mask, expression):
    found = recognize(mask)
    assert found.exact
    assert found.expression == expression
    assert (found.mask.allowed() == mask).all()


def test_what_true_means_can_be_said():
    assert recognize(~np.tri(8, dtype=bool), true="blocked").expression == "causal"


def test_what_is_no_mask_is_refused():
    with pytest.raises(ConfigError, match="recognize takes a mask or an array of booleans, got str"):
        recognize("causal")


def test_a_class_whose_guess_fails_is_left_out(caplog):
    from attrs import field, frozen

    @frozen(kw_only=True)
    class Wrong(AttentionMask):
        """Of nothing."""

        name = "wrong"
        seq_len: int = field()

        def allows(self, q, k):
            return k < q

        @classmethod
        def recognize(cls, spans):
            raise KeyError("no")

    with maskkit.register(Wrong):
        assert recognize(np.tri(6, dtype=bool)).expression == "causal"
    assert "Wrong.recognize failed" in caplog.text


@pytest.mark.parametrize("shape", [(7, 7), (3, 7), (7, 4), (2, 5, 5), (2, 3, 6)])
@pytest.mark.parametrize("seed", [0])
def test_what_is_said_of_any_array_is_true(seed, shape):
    """The nearest mask differs in the rows that are named, and in no others."""
    allowed = np.random.default_rng(seed).random(shape) < 0.5
    found = recognize(allowed, axes=("batch", "query", "key")[-len(shape) :])
    mask = found.mask.allowed()
    apart = np.broadcast_to(mask.reshape(mask.shape[max(0, mask.ndim - len(shape)) :]), shape) != allowed
    assert found.exact == (not apart.any())
    assert found.rows.tolist() == np.argwhere(apart.any(axis=-1)).tolist()
    assert found.pairs == apart.sum()


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_intersections_of_any_two(data):
    parts = ["causal", "sliding_window(window_size=5)", "banded(band_width=7)", "block_causal(block_size=4)"]
    parts += ["document(lengths=[5, 9, 6])", "key_padding(lengths=[20, 13])", "window(left=3, right=2)"]
    one, other = data.draw(st.sampled_from(parts[:4])), data.draw(st.sampled_from(parts))
    mask = maskkit.parse(f"{one} & {other}", seq_len=20)
    assert recognize(mask.allowed(), axes=mask.axes).exact
