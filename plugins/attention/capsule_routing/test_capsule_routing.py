"""Capsule routing: the contract, Keras' layer without routing, a plain transcription of routing, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_capsule_routing import CapsuleRouting, CapsuleRoutingSelfAttention
from maskkit_attention_capsule_routing._layer import squash
from maskkit_keras.testing import check_attention, golden

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
OFF = dict(use_vertical_routing=False, use_horizontal_routing=False)


def test_contract():
    check_attention(CapsuleRouting)


@golden("capsule_routing")
def test_golden_capsule_routing(case):
    """Equal to Keras with both routings off; else to a transcription of the formulas, which is a record."""
    x, w = case.inputs["x"], case.weights
    layer = case.build(CapsuleRoutingSelfAttention, x.shape)
    names = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}
    weights = {f"{a}_{p}": w[f"{b}.{p}"] for a, b in names.items() for p in ("kernel", "bias")}
    if case.params["use_vertical_routing"]:
        weights |= {"head_gain": w["vertical.kernel"].sum(0), "head_offset": w["vertical.bias"]}
    case.transplant(layer, weights)
    y, attention = layer(x, attention_mask=case.inputs.get("attention_mask"), return_attention_scores=True)
    case.check("y", y)
    case.check("weights", attention)


def made(x=X, **params):
    """A built layer, with importances of heads that differ."""
    layer = CapsuleRoutingSelfAttention(**{**dict(num_heads=2, key_dim=4), **params})
    layer.build(x.shape)
    if layer.use_vertical_routing:
        layer.head_gain.assign(np.linspace(-1, 1, layer.num_heads))
        layer.head_offset.assign(np.linspace(0.5, 0, layer.num_heads))
    return layer


def run(layer, x=X, **options):
    return ops.convert_to_numpy(layer(x, **options))


def weights_of(layer, x=X, **options):
    return ops.convert_to_numpy(layer(x, return_attention_scores=True, **options)[1])


def plain_scores(layer, x=X):
    """(B, heads, T, S), before any routing."""
    query, key = (
        np.einsum("btc,chd->bthd", x, ops.convert_to_numpy(getattr(layer, f"{part}_kernel")))
        for part in ("query", "key")
    )
    return np.einsum("bqhd,bshd->bhqs", query, key).astype("float64") * layer.key_dim**-0.5


def squashed(v):
    square = (v**2).sum()
    return square / (1 + square) * v / np.sqrt(square + 1e-8)


def routed(votes, iterations):
    """Routing by agreement of a list of votes, as procedure 1 has it."""
    logits, found = np.zeros(len(votes)), np.zeros(votes.shape[-1])
    for _ in range(iterations):
        if not len(votes):
            break
        shares = np.exp(logits) / np.exp(logits).sum()
        found = squashed((shares[:, None] * votes).sum(0))
        logits = logits + votes @ found
    return found


def transcribed(scores, keep, tokens, iterations, positional=True):
    """The refined weights of one sample, query by query: scores and keep (heads, T, S), tokens (T,)."""
    heads, length, _ = scores.shape
    votes = np.where(keep, scores, 0)
    sees = keep.any(-1)
    gain, offset = np.linspace(-1, 1, heads), np.linspace(0.5, 0, heads)
    refined = scores.copy()
    for t in range(length):
        capsule = routed(votes[sees[:, t], t], iterations)
        importance = np.exp(gain[:, None] * capsule + offset[:, None])
        refined[:, t] += importance / importance.sum(0) * capsule
        for h in range(heads):
            rows = [r for r in range(t + 1 if positional else length) if sees[h, r] and tokens[r]]
            first = positional and t == 0
            refined[h, t] += votes[h, 0] if first else routed(votes[h, rows], iterations)
    weights = np.where(keep, np.exp(refined), 0)
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-30)


MASKS = {
    "none": (None, False),
    "keys": (np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool), False),
    "causal": (None, True),
    "pairs": (np.random.default_rng(3).random((1, 5, 5)) < 0.5, False),
    "heads": (np.random.default_rng(4).random((2, 2, 5, 5)) < 0.3, False),
}


@pytest.mark.parametrize("positional", [True, False])
@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("mask", MASKS)
def test_all_at_once_is_one_by_one(mask, iterations, positional):
    """Without a loop over tokens the weights are those of the plain procedure, under every kind of mask."""
    array, causal = MASKS[mask]
    if causal and not positional:
        array, causal = np.tril(np.ones((1, 5, 5), bool)), False
    layer = made(routing_iterations=iterations, use_positional_routing=positional)
    found = weights_of(layer, attention_mask=array, use_causal_mask=causal)
    scores = plain_scores(layer)
    keep, tokens = np.ones(scores.shape, bool), np.ones((2, 5), bool)
    if array is not None:
        keep = keep & (array[:, None, None] if array.ndim == 2 else array[:, None] if array.ndim == 3 else array)
        tokens = array if array.ndim == 2 else tokens
    if causal:
        keep = keep & np.tril(np.ones((5, 5), bool))
    for sample in range(2):
        expected = transcribed(scores[sample], keep[sample], tokens[sample], iterations, positional)
        np.testing.assert_allclose(found[sample], expected, atol=2e-5)


# -- pins -------------------------------------------------------------------------------------------------------------


def logits_of(weights):
    """Logarithms of weights, up to a constant per row."""
    logits = np.log(weights)
    return logits - logits.mean(-1, keepdims=True)


def test_one_iteration_is_the_squashed_mean():
    """One capsule of all tokens: every row gets the same."""
    layer = made(routing_iterations=1, use_vertical_routing=False, use_positional_routing=False)
    scores = plain_scores(layer)
    for b in range(2):
        for h in range(2):
            expected = scores[b, h] + squashed(scores[b, h].mean(0))
            found = logits_of(weights_of(layer)[b, h])
            np.testing.assert_allclose(found, expected - expected.mean(-1, keepdims=True), atol=1e-4)


def test_one_head_routes_with_itself():
    """H = 1, vertical, one iteration: importance 1, so scores plus squashed scores, whatever gain and offset are."""
    layer = made(num_heads=1, routing_iterations=1, use_horizontal_routing=False)
    scores = plain_scores(layer)
    for b in range(2):
        expected = scores[b, 0] + np.array([squashed(row) for row in scores[b, 0]])
        found = logits_of(weights_of(layer)[b, 0])
        np.testing.assert_allclose(found, expected - expected.mean(-1, keepdims=True), atol=1e-4)
    before = weights_of(layer)
    layer.head_gain.assign([3.0])
    layer.head_offset.assign([-2.0])
    np.testing.assert_allclose(weights_of(layer), before, atol=1e-6)


def test_the_first_token_is_not_squashed():
    """Positional routing at t = 0 adds the scores themselves."""
    layer = made(use_vertical_routing=False)
    scores = plain_scores(layer)[:, :, 0]
    found = logits_of(weights_of(layer)[:, :, 0])
    np.testing.assert_allclose(found, 2 * (scores - scores.mean(-1, keepdims=True)), atol=1e-4)


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 1e3])
def test_squashed_vectors_are_shorter_than_one(size):
    v = size * np.array([0.6, -0.8], "float32")
    found = ops.convert_to_numpy(squash(ops.convert_to_tensor(v), 1e-8))
    np.testing.assert_allclose(found, squashed(v.astype("float64")), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found), size**2 / (1 + size**2), atol=1e-6)


def test_importance_starts_equal():
    """Gain and offset of the heads start at 0."""
    layer = CapsuleRoutingSelfAttention(num_heads=2)
    layer.build(X.shape)
    assert tuple(layer.head_gain.shape) == tuple(layer.head_offset.shape) == (2,)
    assert not ops.convert_to_numpy(layer.head_gain).any()
    assert not ops.convert_to_numpy(layer.head_offset).any()


def test_routing_changes_the_weights():
    plain = made(**OFF)
    for extra in (dict(use_vertical_routing=True), dict(use_horizontal_routing=True)):
        layer = made(**{**OFF, **extra})
        for part in ("query_kernel", "key_kernel"):
            getattr(layer, part).assign(getattr(plain, part))
        assert np.abs(weights_of(layer) - weights_of(plain)).max() > 1e-3


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_acts_on_weights_while_training(rate, expected):
    """Rate 0 drops nothing, rate 1 everything; without training nothing is dropped."""
    layer = made(dropout=rate)
    calm, trained = (run(layer, training=training) for training in (False, True))
    np.testing.assert_allclose(trained, expected * calm, atol=1e-6)
    assert np.abs(calm).max() > 1e-3


# -- masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_array", [False, True])
def test_the_future_casts_no_vote(as_array):
    """Each token in turn: changing it moves nothing before it."""
    layer = made(x=np.zeros((1, 8, 8)))
    x = np.random.default_rng(1).normal(size=(1, 8, 8)).astype("float32")
    options = dict(attention_mask=np.tril(np.ones((1, 8, 8), bool))) if as_array else dict(use_causal_mask=True)
    before = run(layer, x, **options)
    for t in range(1, 8):
        changed = x.copy()
        changed[:, t] += 5
        after = run(layer, changed, **options)
        np.testing.assert_allclose(after[:, :t], before[:, :t], atol=1e-6)
        assert np.abs(after[:, t:] - before[:, t:]).max() > 1e-3


def test_votes_of_all_tokens_refuse_a_causal_mask():
    layer = made(use_positional_routing=False)
    with pytest.raises(ValueError, match=r"Parameter 'use_causal_mask' must be False .*, got True"):
        layer(X, use_causal_mask=True)
    vertical = made(use_positional_routing=False, use_horizontal_routing=False)
    assert np.isfinite(run(vertical, use_causal_mask=True)).all()


@pytest.mark.parametrize("positional", [True, False])
def test_padding_casts_no_vote(positional):
    """Neither its content nor its amount changes what real tokens give."""
    layer = made(use_positional_routing=positional)
    alone = run(layer)
    for scale in (0.0, 10.0):
        padded = np.concatenate([X, scale * X[:, :3]], axis=1)
        keep = np.broadcast_to(np.arange(8) < 5, (2, 8))
        np.testing.assert_allclose(run(layer, padded, attention_mask=keep)[:, :5], alone, atol=1e-5)


def test_padding_in_front_casts_no_vote():
    layer = made(use_positional_routing=False)
    padded = np.concatenate([9 * X[:, :2], X], axis=1)
    y = run(layer, padded, attention_mask=np.broadcast_to(np.arange(7) > 1, (2, 7)))
    np.testing.assert_allclose(y[:, 2:], run(layer), atol=1e-5)


# -- work -------------------------------------------------------------------------------------------------------------


def test_no_loop_goes_over_tokens(monkeypatch):
    """The number of products does not grow with the number of tokens."""
    layer, counts, einsum = made(), [], ops.einsum
    for tokens in (4, 64):
        calls = []
        monkeypatch.setattr(ops, "einsum", lambda *args, calls=calls: (calls.append(args[0]), einsum(*args))[1])
        layer(np.ones((1, tokens, 8), "float32"))
        counts.append(len(calls))
    assert counts[0] == counts[1] > 5


def test_many_tokens():
    """T = 256, causal, finite."""
    x = np.random.default_rng(0).normal(size=(1, 256, 32)).astype("float32")
    assert np.isfinite(run(CapsuleRoutingSelfAttention(num_heads=4), x, use_causal_mask=True)).all()


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(num_heads=0), "Parameter 'num_heads' must be positive, got 0"),
        (dict(key_dim=0), "Parameter 'key_dim' must be positive, or None, got 0"),
        (dict(value_dim=-1), "Parameter 'value_dim' must be positive, or None, got -1"),
        (dict(routing_iterations=0), "Parameter 'routing_iterations' must be positive, got 0"),
        (dict(epsilon=0.0), "Parameter 'epsilon' must be positive, got 0.0"),
        (dict(dropout=-1.0), "Parameter 'dropout' must be between 0.0 and 1.0, got -1.0"),
    ],
)
def test_mistakes_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        CapsuleRoutingSelfAttention(**{**dict(num_heads=2), **params})


def test_heads_divide_the_width_unless_theirs_is_given():
    with pytest.raises(ValueError, match=r"Parameter 'num_heads' must divide the inputs' width 8, .*, got 3"):
        CapsuleRoutingSelfAttention(num_heads=3)(X)
    assert run(CapsuleRoutingSelfAttention(num_heads=3, key_dim=4)).shape == X.shape
