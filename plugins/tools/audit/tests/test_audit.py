"""`audit`: every way in which Torch models attend is seen, exactly, under the module's own name."""

import json

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
import maskkit
from maskkit import ConfigError
from maskkit_audit import assert_attends, audit, reach
from maskkit_audit._run import calls_of

sdpa = torch.nn.functional.scaled_dot_product_attention
pytestmark = [
    pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning"),  # transformers sets it
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),  # torch.compile imports such
]


class Model(nn.Module):
    """One attention; `rule(q, k, v)` says how."""

    def __init__(self, rule, heads=2):
        super().__init__()
        torch.manual_seed(0)
        self.num_heads, self.rule, self.project = heads, rule, nn.Linear(8, 8 * 3)

    def forward(self, x, **given):
        parts = self.project(x).chunk(3, -1)
        out = self.rule(*(part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts), **given)
        return out.transpose(1, 2).flatten(-2)


def seen(rule, tokens=6, batch=2):
    """What the one attention of such a model allows, (batch, heads, queries, keys)."""
    [call] = calls_of(Model(rule), torch.randn(batch, tokens, 8))
    return np.broadcast_to(call.allowed, (call.batch, call.heads, tokens, tokens))


def by_hand(q, k, v, allowed):
    weights = torch.exp(q @ k.mT) * allowed
    return weights / weights.sum(-1, keepdim=True) @ v


WAYS = {
    "booleans": lambda q, k, v, m: sdpa(q, k, v, attn_mask=m),
    "numbers": lambda q, k, v, m: sdpa(q, k, v, attn_mask=torch.zeros(m.shape).masked_fill(~m, -1e9)),
    "lowest": lambda q, k, v, m: sdpa(q, k, v, attn_mask=torch.zeros(m.shape).masked_fill(~m, -torch.inf)),
    "value_width": lambda q, k, v, m: sdpa(q, k, torch.cat([v, v], -1), attn_mask=m)[..., : v.shape[-1]],
    "softmax": lambda q, k, v, m: (q @ k.mT).masked_fill(~m, -torch.inf).softmax(-1) @ v,
    "added": lambda q, k, v, m: (q @ k.mT + torch.zeros(m.shape).masked_fill(~m, -1e4)).softmax(-1) @ v,
    "einsum": lambda q, k, v, m: torch.einsum("bhqk,bhkd->bhqd", (q @ k.mT).masked_fill(~m, -1e9).softmax(-1), v),
    "after": lambda q, k, v, m: ((q @ k.mT).softmax(-1) * m) @ v,
    "in_place": lambda q, k, v, m: (q @ k.mT).softmax(-1).masked_fill_(~m, 0) @ v,
    "turned": lambda q, k, v, m: (v.mT @ (q @ k.mT).masked_fill(~m, -1e9).softmax(-1).mT).mT,
    "by_hand": by_hand,
    "attend": lambda q, k, v, m: maskkit.attend(q, k, v, maskkit.from_array(m.expand(2, 2, -1, -1), true="allowed")),
    "flex": lambda q, k, v, m: flex_attention(
        q, k, v, block_mask=create_block_mask(lambda b, h, i, j: m[b, h, i, j], 2, 2, 6, 6, device="cpu")
    ),
    "flex_scores": lambda q, k, v, m: flex_attention(
        q, k, v, score_mod=lambda s, b, h, i, j: torch.where(m[b, h, i, j], s, -torch.inf)
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_any_mask_is_seen_however_it_is_applied(way):
    """Of samples and heads of their own; half of all pairs, at random."""
    for seed in range(3):
        mask = torch.rand(2, 2, 6, 6, generator=torch.Generator().manual_seed(seed)) < 0.5
        mask[..., 0] = True
        assert (seen(lambda q, k, v, mask=mask: WAYS[way](q, k, v, mask)) == mask.numpy()).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**20), st.integers(2, 150))
def test_lengths_that_are_no_multiple_of_a_block(seed, tokens):
    mask = torch.rand(tokens, tokens, generator=torch.Generator().manual_seed(seed)) < 0.3
    mask[:, 0] = True
    assert (seen(lambda q, k, v: sdpa(q, k, v, attn_mask=mask), tokens, 1) == mask.numpy()).all()


def test_the_output_is_that_of_the_model():
    """Looking changes nothing: the model gives what it gives without."""
    model, x = Model(lambda q, k, v: sdpa(q, k, v, is_causal=True)), torch.randn(1, 6, 8)
    outputs = []
    model.register_forward_hook(lambda module, args, out: outputs.append(out))
    audit(model, x, reach=False)
    torch.testing.assert_close(outputs[0], model(x))


def test_a_bias_that_is_finite_blocks_nothing_and_is_told():
    slope = -100 * torch.arange(6.0)
    [entry] = audit(Model(lambda q, k, v: sdpa(q, k, v, attn_mask=slope.expand(6, 6))), torch.randn(1, 6, 8))
    assert entry.expression == "everything is allowed"
    assert entry.notes == ("adds -500 to 0 to scores, which blocks nothing (blocked_below=-5000)",)


def test_from_where_numbers_block_can_be_said():
    bias = torch.zeros(6, 6).masked_fill(~torch.ones(6, 6).tril().bool(), -100)
    model, x = Model(lambda q, k, v: sdpa(q, k, v, attn_mask=bias)), torch.randn(1, 6, 8)
    assert audit(model, x, blocked_below=-50)[0].expression == "causal"
    assert audit(model, x)[0].expression == "everything is allowed"


def test_a_softmax_that_is_no_attention_is_not_taken_for_one():
    """A router of experts, and a softmax over the vocabulary."""

    class Routed(Model):
        def forward(self, x):
            share = self.project(x)[..., :4].softmax(-1)
            mixed = torch.einsum("bne,bned->bnd", share, x[:, :, None].expand(-1, -1, 4, -1))
            return super().forward(mixed).log_softmax(-1)

    assert len(audit(Routed(lambda q, k, v: sdpa(q, k, v)), torch.randn(2, 6, 8))) == 1


# -- modules of Torch -------------------------------------------------------------------------------------------------

REAL = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])


class Wrapped(nn.Module):
    def __init__(self, same):
        super().__init__()
        self.same, self.inner = same, nn.MultiheadAttention(8, 4, batch_first=True)

    def forward(self, x, attention_mask):
        future = ~torch.ones(6, 6, dtype=torch.bool).tril()
        keys = x if self.same else x + 0
        return self.inner(x, keys, keys, key_padding_mask=attention_mask == 0, attn_mask=future, need_weights=False)[0]


@pytest.mark.parametrize("same", [True, False])
def test_multihead_attention_and_its_fast_path(same):
    """The fast path is one operator, taken where query, key and value are one tensor."""
    report = audit(Wrapped(same), dict(x=torch.randn(2, 6, 8), attention_mask=REAL), expect="causal")
    [entry] = report
    assert (entry.name, entry.batch, entry.heads) == ("inner", 2, 4)
    assert (entry.via == "nn.MultiheadAttention") == same
    assert entry.expression == "causal & key_padding(lengths=[6, 4])"
    assert not report.leaks


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_transformer_encoder_and_its_fast_path():
    layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    inputs = dict(src=torch.randn(2, 6, 8), src_key_padding_mask=REAL == 0)
    report = audit(nn.TransformerEncoder(layer, 2), inputs)
    assert [entry.name for entry in report] == ["layers.0", "layers.1"]
    assert not report.leaks


def test_a_compiled_model_runs_eager():
    model = torch.compile(Model(lambda q, k, v: sdpa(q, k, v, is_causal=True)))
    report = audit(model, torch.randn(1, 6, 8))
    assert [entry.expression for entry in report] == ["causal"]
    assert "ran eager" in report.notes[0]


def test_training_is_left_as_it_was():
    model = nn.Sequential(Model(lambda q, k, v: nn.functional.dropout((q @ k.mT).softmax(-1), 0.5, True) @ v))
    model[0].rule = lambda q, k, v: sdpa(q, k, v)
    model.train()
    audit(model, torch.randn(1, 6, 8))
    assert all(module.training for module in model.modules())


# -- other libraries on Torch -----------------------------------------------------------------------------------------


def tiny(name, **more):
    transformers = pytest.importorskip("transformers")
    sizes = dict(vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    config = getattr(transformers, f"{name}Config")(**(sizes | more))
    torch.manual_seed(0)
    return transformers, config


IDS = torch.randint(3, 60, (2, 12), generator=torch.Generator().manual_seed(0))
PADDED = torch.tensor([[1] * 12, [0] * 5 + [1] * 7])


@pytest.mark.parametrize("implementation", ["sdpa", "eager", "flex_attention"])
def test_an_unchanged_mistral(implementation):
    transformers, config = tiny("Mistral", num_key_value_heads=2, sliding_window=4)
    model = transformers.MistralForCausalLM(config)
    model.set_attn_implementation(implementation)
    report = audit(model, dict(input_ids=IDS[:1]), reach=False)
    assert [(entry.name, entry.expression) for entry in report] == [
        (f"model.layers.{i}.self_attn", "sliding_window(window_size=4)") for i in range(2)
    ]
    padded = audit(model, dict(input_ids=IDS, attention_mask=PADDED), "sliding_window(window_size=4)", reach=False)
    assert not padded.leaks


def test_layers_that_alternate():
    transformers, config = tiny("Gemma2", num_key_value_heads=2, head_dim=8, sliding_window=4)
    report = audit(transformers.Gemma2ForCausalLM(config), dict(input_ids=IDS))
    assert [entry.expression for entry in report] == ["sliding_window(window_size=4)", "causal"]


def test_an_encoder_and_a_decoder():
    transformers, config = tiny(
        "Bart", d_model=32, num_hidden_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2
    )
    inputs = dict(input_ids=IDS, attention_mask=PADDED.flip(1), decoder_input_ids=IDS[:, :5])
    report = audit(transformers.BartModel(config), inputs, {"decoder*self_attn": "causal"})
    assert [entry.expression for entry in report] == [
        "key_padding(lengths=[12, 7])",
        "causal",
        "key_padding(lengths=[12, 7], q_len=5)",
    ]
    assert not report.leaks


def test_packed_texts_with_and_without_a_cache():
    """With a cache transformers does not look where positions start again, and the texts see each other."""
    transformers, config = tiny("Llama")
    positions = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]])
    model, inputs = transformers.LlamaForCausalLM(config), dict(input_ids=IDS[:1], position_ids=positions)
    apart = audit(model, inputs | dict(use_cache=False))
    assert apart[0].expression == "causal & document(lengths=[5, 7])"
    assert not apart.leaks
    assert audit(model, inputs | dict(use_cache=True)).kinds == {"document"}


@pytest.mark.parametrize("fused", [True, False])
def test_vision_transformers_of_timm(fused):
    timm = pytest.importorskip("timm", exc_type=ImportError)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=16, depth=1)
    model.blocks[0].attn.fused_attn = fused
    [entry] = audit(model, torch.randn(1, 3, 32, 32))
    assert (entry.name, entry.via) == ("blocks.0.attn", "scaled_dot_product_attention" if fused else "softmax")
    assert entry.expression == "everything is allowed"


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras runs on another library")
@pytest.mark.parametrize("dropout", [0, 0.5])
def test_keras_layers_on_torch(dropout):
    """Fused, and with dropout a softmax."""
    x = keras.Input((6, 8))
    layer = keras.layers.MultiHeadAttention(2, 4, dropout=dropout, name="attention")
    model = keras.Model(x, layer(x, x, use_causal_mask=True))
    [entry] = audit(model, torch.randn(2, 6, 8))
    assert (entry.name, entry.expression) == ("attention", "causal")


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras runs on another library")
def test_our_layers_on_torch():
    kit = pytest.importorskip("maskkit_keras")
    x = keras.Input((6, 8))
    attention = {"type": "multi_head", "embed_dim": 8, "num_heads": 2}
    model = keras.Model(x, kit.MaskedAttention(attention, "sliding_window(window_size=3)")(x))
    [entry] = audit(model, torch.randn(2, 6, 8))
    assert entry.expression == "sliding_window(window_size=3)"


# -- what is asked ----------------------------------------------------------------------------------------------------


def test_the_assertion_says_what_leaks():
    model = Model(lambda q, k, v: sdpa(q, k, v, is_causal=True))
    assert_attends(model, torch.randn(1, 6, 8), "causal")
    with pytest.raises(AssertionError, match=r"LEAK window: keys at the distance 3, 4, 5") as error:
        assert_attends(Model(lambda q, k, v: sdpa(q, k, v, attn_mask=_window(3))), torch.randn(1, 6, 8), "causal")
    assert "sliding_window(window_size=3)" in str(error.value)


def _window(size):
    return torch.tensor(maskkit.create("sliding_window", seq_len=6, window_size=size).allowed())


def test_padding_and_documents_can_be_given_beside_the_inputs():
    model, x = Model(lambda q, k, v: sdpa(q, k, v, is_causal=True)), torch.randn(1, 6, 8)
    assert audit(model, x, valid=[[0, 0, 1, 1, 1, 1]]).kinds == {"lost"}
    assert audit(model, x, documents=[[0, 0, 0, 1, 1, 1]]).kinds == {"document"}


def test_real_queries_that_see_nothing():
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    mask[2] = False
    assert "empty" in audit(Model(lambda q, k, v: sdpa(q, k, v, attn_mask=mask)), torch.randn(1, 6, 8), "causal").kinds


def test_gradients_are_the_cross_check():
    """What mixes tokens beside attention is told."""

    class Mixed(Model):
        def forward(self, x):
            return super().forward(x) + x.flip(1)

    causal = lambda q, k, v: sdpa(q, k, v, is_causal=True)  # noqa: E731
    assert "gradients say more: input 5 moves output 0" in audit(Mixed(causal), torch.randn(1, 6, 8)).notes[0]
    moved, rows = reach(Model(causal), torch.randn(1, 6, 8))
    assert (moved[0] == np.tri(6, dtype=bool)[rows]).all()


CAUSAL = Model(lambda q, k, v: sdpa(q, k, v, is_causal=True))


@pytest.mark.parametrize(
    ("model", "inputs", "expect", "message"),
    [
        (nn.Linear(8, 8), torch.randn(1, 6, 8), None, "no attention ran in Linear"),
        (CAUSAL, torch.randn(1, 6, 9), None, "Model does not run on these inputs: RuntimeError"),
        (CAUSAL, dict(y=1), None, "Model does not run on these inputs: TypeError"),
        (CAUSAL, torch.randn(1, 6, 8), "causal(seq_len=5)", "of 5 x 5, and the attention is of 6 queries and 6 keys"),
        (CAUSAL, torch.randn(1, 6, 8), "casual", "did you mean 'causal'"),
        (CAUSAL, torch.randn(1, 6, 8, device="meta"), None, "the model is on cpu and an input on meta"),
        (lambda x: x, torch.randn(1, 6, 8), None, "audit takes a torch.nn.Module, got function"),
        (nn.Linear(8, 8, device="meta"), torch.randn(1, 6, 8), None, "on the device meta"),
    ],
)
def test_what_cannot_be_audited_is_refused(model, inputs, expect, message):
    with pytest.raises(ConfigError, match=message):
        audit(model, inputs, expect)


def test_a_report_as_data_and_as_a_page():
    report = audit(CAUSAL, torch.randn(1, 6, 8), "sliding_window(window_size=3)")
    data = json.loads(json.dumps(report.to_dict()))
    assert data["attentions"][0]["expression"] == "causal"
    assert data["attentions"][0]["leaks"][0]["kind"] == "window"
    page = report.html()
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # nothing is fetched
    assert report.figure().axes
