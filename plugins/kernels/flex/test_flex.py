"""The flex kernel is exact, compiles once for all masks with as many intervals, and says what it does not do.

On a machine without CUDA its calls run through FlexAttention's unfused form; `make test-gpu` runs the compiled ones.
"""

import gc

import pytest
import torch
from attrs import evolve, frozen
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import flex_attention as flex
import maskkit
from maskkit.kernels.conformance import check_attention
from maskkit.testing import check_light_import, check_parameters
from maskkit_kernel_flex import Flex, _torch


@frozen(kw_only=True)
class Elsewhere(Flex):
    """The kernel, told that the arrays are on CUDA."""

    def fits(self, problem):
        return super().fits(evolve(problem, device="cuda:0"))


@pytest.fixture(autouse=True)
def cuda(monkeypatch):
    """A machine that has what the kernel needs, as far as it asks."""
    monkeypatch.setattr(_torch, "lacking", lambda: "")


@pytest.fixture
def unfused(monkeypatch):
    """FlexAttention in plain Torch, which has a backward pass."""
    monkeypatch.setattr(_torch, "_compiled", lambda: _torch._call)
    monkeypatch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    monkeypatch.setattr(flex, "_validate_device", lambda *arrays: None)


def problem(mask=None, **more):
    queries, keys = mask.shape[-2:] if mask is not None else (256, 256)
    sizes = dict(queries=queries, keys=keys, head_dim=64, value_dim=64, heads=8, kv_heads=8)
    return maskkit.Problem(**{**sizes, "mask": mask, "device": "cuda:0", "dtype": "bfloat16", **more})


def test_form():
    """What the kit asks besides results, which needs no CUDA."""
    check_parameters(Flex)
    check_light_import("maskkit_kernel_flex")


def test_contract(unfused):
    check_attention(Elsewhere(), "torch", every=4096, device="cpu:0", compiled=False)  # unfused it does not compile


@pytest.mark.parametrize("expression", ["dilated(window_size=33, dilation=4)", "longformer(window_size=9)", "~causal"])
def test_masks_of_any_number_of_intervals_are_exact(unfused, expression):
    """Up to eight by comparisons, more by booleans."""
    mask = maskkit.parse(expression, seq_len=200)
    q, k, v = (torch.randn(2, 2, 200, 16, dtype=torch.float32) for _ in range(3))
    found = maskkit.attend(q, k, v, mask, kernel=Elsewhere())
    torch.testing.assert_close(found, maskkit.attend(q, k, v, mask, kernel="dense"), atol=2e-6, rtol=0)


def test_the_log_sum_exp_has_a_gradient(unfused):
    mask = maskkit.create("sliding_window", seq_len=40, window_size=7)
    q, k, v = (torch.randn(1, 2, 40, 16, requires_grad=True) for _ in range(3))
    calls = [maskkit.attend(q, k, v, mask, return_lse=True, kernel=kernel) for kernel in (Elsewhere(), "area")]
    found, expected = (torch.autograd.grad(lse.cos().sum() + out.sum(), (q, k, v)) for out, lse in calls)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_one_compile_serves_masks_with_as_many_intervals(monkeypatch):
    """Of one length; a second length compiles once more, with a size left open, and a third does not."""
    counter = CompileCounterWithBackend("eager")
    call = torch.compile(_torch._call, fullgraph=True, backend=counter, isolate_recompiles=True, recompile_limit=256)
    monkeypatch.setattr(_torch, "_compiled", lambda: call)

    def graphs(expression, tokens, **options):
        mask, before = maskkit.parse(expression, seq_len=tokens), counter.frame_count
        q, k, v = torch.randn(3, 1, 2, tokens, 16)
        found = maskkit.attend(q, k, v, mask, kernel=Elsewhere(), **options)
        torch.testing.assert_close(found, maskkit.attend(q, k, v, mask, kernel="dense", **options), atol=2e-6, rtol=0)
        return counter.frame_count - before

    one = ["causal", "sliding_window(window_size=40)", "block_diagonal(block_size=64)", "block_causal(block_size=32)"]
    assert [graphs(expression, 256) for expression in one] == [1, 0, 0, 0]
    assert [graphs("causal", tokens) for tokens in (384, 512, 300)] == [1, 0, 0]
    assert [graphs("sink(window_size=40)", 512), graphs("longformer(window_size=31)", 512)] == [1, 0]
    scales = [graphs("causal", 512, scale=scale) for scale in (0.3, 0.4, 0.3)]
    assert scales == [1, 1, 0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_compiled_call_is_exact_on_a_cpu():
    """Forward, where Torch has a fused kernel for the CPU: the same call as on CUDA."""
    mask = maskkit.create("sink", seq_len=300, window_size=40)
    q, k, v = torch.randn(1, 4, 300, 16), torch.randn(1, 2, 300, 16), torch.randn(1, 2, 300, 24)
    found = maskkit.attend(q, k, v, mask, kernel=Elsewhere(), enable_gqa=True, scale=0.3)
    expected = maskkit.attend(q, k, v, mask, kernel="dense", enable_gqa=True, scale=0.3)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_tables_are_made_once_while_the_mask_lives(unfused, monkeypatch):
    mask = maskkit.create("sliding_window", seq_len=64, window_size=3)
    made = []
    to_flex = type(mask).to_flex
    monkeypatch.setattr(type(mask), "to_flex", lambda *args: made.append(1) or to_flex(*args))
    q, k, v = torch.randn(3, 1, 1, 64, 16)
    for _ in range(3):
        maskkit.attend(q, k, v, mask, kernel=Elsewhere())
    assert len(made) == 1
    before = len(_torch._made)
    del mask
    gc.collect()
    assert len(_torch._made) == before - 1


@pytest.mark.parametrize("training", [False, True])
def test_it_is_chosen_where_blocks_can_be_left_out(training):
    """Else Torch's own call is quicker, with its causal flag too."""
    for expression, better in [
        ("sliding_window(window_size=256)", "flex"),
        ("block_diagonal(block_size=512)", "flex"),
        ("dilated(window_size=65, dilation=8)", "flex"),
        ("causal", "dense"),
        ("causal | ~causal", "dense"),
    ]:
        asked = problem(maskkit.parse(expression, seq_len=8192), training=training)
        costs = {name: maskkit.find(name, "kernel")().fits(asked) for name in ("flex", "dense")}
        assert min(costs, key=costs.get) == better, expression


def test_the_cost_counts_the_blocks():
    mask = maskkit.create("block_diagonal", seq_len=1024, block_size=256)
    cost = Flex().fits(problem(mask, batch=3))
    assert cost.pairs == 3 * 8 * 4 * 256**2
    assert cost.nbytes < 2**14
    stacked = maskkit.stack([mask, maskkit.create("causal", seq_len=1024)])
    assert Flex().fits(problem(stacked, heads=2, kv_heads=2)).pairs == 4 * 256**2 + 36 * 128**2


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (problem(device="cpu"), "it computes on Torch on CUDA, not on torch on cpu"),
        (problem(library="jax"), "it computes on Torch on CUDA, not on jax on cuda:0"),
        (problem(dropout_p=0.1), "FlexAttention drops nothing; give dropout_p=0.0"),
        (problem(dtype="float64"), "float16, bfloat16 and float32, not float64; give query.float"),
        (problem(value_dim=320), "tiles for widths to 256, not 64, 320"),
        (problem(queries=0), "an array is empty"),
        (problem(batch=2**16), "CUDA starts it for 65,535 samples and heads, not 65,536 and 8"),
        (
            problem(maskkit.create("random", seq_len=8192, mask_probability=0.5, seed=0)),
            "too large to look for its blocks",
        ),
        (problem(maskkit.from_array(torch.ones(8, 8, dtype=torch.bool, device="meta"), true="allowed")), "on a device"),
    ],
)
def test_what_it_does_not_do_is_refused(asked, words):
    answer = Flex().fits(asked)
    assert isinstance(answer, maskkit.NoFit)
    assert words in answer.why


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(_torch, "find_spec", lambda name: None)
    assert "pip install triton" in Flex().fits(problem()).why
    monkeypatch.delattr(flex, "AuxRequest")
    assert "FlexAttention with AuxRequest" in Flex().fits(problem()).why
