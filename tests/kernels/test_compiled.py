"""`attend` under `torch.compile`, and masks handed to Torch's own attention: what runs, and what is compiled."""

import gc
import subprocess
import sys
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from torch.nn.functional import scaled_dot_product_attention
import maskkit
from maskkit import ConfigError, Kernel, limits
from maskkit.kernels.attend import has_kernels
from maskkit.kernels.problem import Problem
from maskkit.masks.exports import sdpa
from maskkit.registry.loader import registry

N = 48
WINDOW = {"seq_len": N, "window_size": 5}


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()


@pytest.fixture
def no_kernels(monkeypatch):
    """A machine without kernel plugins."""
    names = registry.full_names
    monkeypatch.setattr(registry, "full_names", lambda kind=None: [] if kind == "kernel" else names(kind))
    has_kernels.cache_clear()
    yield
    has_kernels.cache_clear()


def arrays(batch=1, heads=2, kv_heads=2, n=N, dtype=torch.float64):
    torch.manual_seed(0)
    sizes = ((batch, heads, n, 8), (batch, kv_heads, n, 8), (batch, kv_heads, n, 8))
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]


def counting(backend="aot_eager"):
    """A backend, and the list of the graphs that it was given."""
    graphs = []

    def compile_graph(graph, inputs):
        graphs.append(graph)
        return torch._dynamo.lookup_backend(backend)(graph, inputs)

    return compile_graph, graphs


def assert_same(one, other, inputs):
    """Outputs and gradients are equal to rounding."""
    outs = [out if isinstance(out, tuple) else (out,) for out in (one, other)]
    for a, b in zip(*outs, strict=True):
        torch.testing.assert_close(a, b)
    grads = [torch.autograd.grad(sum(x[x > -torch.inf].sum() for x in out), inputs) for out in outs]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("kernel", ["dense", "area", None])
def test_equal_masks_share_one_graph(kernel, backend):
    compile_graph, graphs = counting(backend)
    call = torch.compile(
        lambda q, k, v, mask: maskkit.attend(q, k, v, mask, kernel=kernel), backend=compile_graph, fullgraph=True
    )
    inputs = arrays()
    for _ in range(2):
        mask = maskkit.create("sliding_window", **WINDOW) & maskkit.create("causal", seq_len=N)
        assert_same(call(*inputs, mask), maskkit.attend(*inputs, mask), inputs)
    assert len(graphs) == 1
    other = maskkit.create("sliding_window", seq_len=N, window_size=9)
    assert_same(call(*inputs, other), maskkit.attend(*inputs, other), inputs)
    assert len(graphs) == 2


@pytest.mark.parametrize("kernel", ["dense", "area"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inductor_compiles_it(kernel):
    mask, inputs = maskkit.create("sink", **WINDOW), arrays(dtype=torch.float32)
    call = torch.compile(lambda q, k, v: 2 * maskkit.attend(q + 1, k, v, mask, kernel=kernel), fullgraph=True)
    assert_same(call(*inputs), 2 * maskkit.attend(inputs[0] + 1, *inputs[1:], mask, kernel=kernel), inputs)


def test_options_are_those_of_the_call():
    mask, inputs = maskkit.create("sink", **WINDOW), arrays(heads=4)
    options = dict(scale=0.3, enable_gqa=True, return_lse=True, kernel="area")
    call = torch.compile(lambda *arrays: maskkit.attend(*arrays, mask, **options), backend="aot_eager", fullgraph=True)
    assert_same(call(*inputs), maskkit.attend(*inputs, mask, **options), inputs)


def test_the_scale_may_change_from_call_to_call():
    mask, inputs = maskkit.create("sink", **WINDOW), arrays()
    call = torch.compile(lambda s: maskkit.attend(*inputs, mask, scale=s), backend="aot_eager", fullgraph=True)
    for scale in (0.1, 0.2, 0.3):
        assert_same(call(scale), maskkit.attend(*inputs, mask, scale=scale), inputs)


def test_a_kernel_with_options_is_a_constant_too():
    mask, inputs = maskkit.create("sliding_window", **WINDOW), arrays()
    area = maskkit.find("area", "kernel")(rows=16)
    call = torch.compile(
        lambda *arrays: maskkit.attend(*arrays, mask, kernel=area), backend="aot_eager", fullgraph=True
    )
    assert_same(call(*inputs), maskkit.attend(*inputs, mask, kernel=area), inputs)


def test_rows_that_allow_nothing_are_zero():
    empty = maskkit.create("causal", seq_len=N) & ~maskkit.create("causal", seq_len=N)
    for kernel in ("dense", "area"):
        call = partial(maskkit.attend, mask=empty, kernel=kernel)
        assert not torch.compile(call, backend="aot_eager", fullgraph=True)(*arrays()).any()


def test_autocast_holds_inside():
    mask, inputs = maskkit.create("sliding_window", **WINDOW), arrays(dtype=torch.float32)

    def call(*arrays):
        with torch.autocast("cpu", torch.bfloat16):
            return maskkit.attend(*arrays, mask)

    out = torch.compile(call, backend="aot_eager", fullgraph=True)(*inputs)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, call(*inputs))


def test_a_graph_of_another_process_is_refused():
    with pytest.raises(ConfigError, match="made in another process"):
        Problem.remembered("0")


def test_a_problem_is_named_by_what_it_says():
    one, other = (
        Problem(
            mask=maskkit.create("causal", seq_len=n), heads=1, kv_heads=1, queries=n, keys=n, head_dim=8, value_dim=8
        )
        for n in (4, 5)
    )
    assert one.remember() == evolve(one).remember() != other.remember()
    assert Problem.remembered(one.remember()) == one


# -- scaled_dot_product_attention(attn_mask=mask) ---------------------------------------------------------------------


ASKED = []


@frozen(kw_only=True)
class Spy(Kernel):
    """The cheapest, and what it was asked for."""

    name = "spy"

    def fits(self, problem):
        return 0.0

    def attend(self, query, key, value, mask, problem):
        ASKED.append(problem)
        return torch.zeros_like(query)


@pytest.mark.parametrize("compiled", [False, True])
def test_sdpa_goes_through_attend(compiled):
    mask, inputs = maskkit.create("sliding_window", **WINDOW), arrays()
    call = (
        torch.compile(scaled_dot_product_attention, backend="aot_eager", fullgraph=True)
        if compiled
        else scaled_dot_product_attention
    )
    assert_same(call(*inputs, attn_mask=mask, scale=0.3), maskkit.attend(*inputs, mask, scale=0.3), inputs)
    assert_same(call(*inputs, mask, 0.0), maskkit.attend(*inputs, mask), inputs)


def test_sdpa_asks_installed_kernels():
    with maskkit.register(Spy):
        out = scaled_dot_product_attention(*arrays(), attn_mask=maskkit.create("causal", seq_len=N), scale=0.5)
    assert not out.any()
    assert ASKED[-1].scale == 0.5


@pytest.mark.parametrize("options", [{"scale": 0.3}, {"enable_gqa": True}, {"dropout_p": 0.0}])
def test_sdpa_without_kernels_takes_booleans(no_kernels, options):
    mask = maskkit.create("sliding_window", **WINDOW)
    inputs = arrays(heads=4, kv_heads=4 if "enable_gqa" not in options else 2)
    expected = scaled_dot_product_attention(*inputs, attn_mask=mask.allowed("torch"), **options)
    assert_same(scaled_dot_product_attention(*inputs, attn_mask=mask, **options), expected, inputs)


def test_booleans_are_made_once_per_mask_while_it_lives(no_kernels, monkeypatch):
    made = []
    array = sdpa.array
    monkeypatch.setattr(sdpa, "array", lambda *args, **kwargs: made.append(1) or array(*args, **kwargs))
    mask = maskkit.create("sliding_window", **WINDOW)
    for _ in range(3):
        scaled_dot_product_attention(*arrays(), attn_mask=mask)
    assert len(made) == 1
    kept = weakref.ref(sdpa._made[mask]["cpu"])
    del mask
    gc.collect()
    assert kept() is None


def test_the_causal_mask_is_the_causal_flag(no_kernels, monkeypatch):
    """No booleans are made, however long it is."""
    monkeypatch.setattr(limits, "dense_bytes", 100)
    inputs, mask = arrays(), maskkit.create("causal", seq_len=N)
    expected = scaled_dot_product_attention(*inputs, is_causal=True)
    assert_same(scaled_dot_product_attention(*inputs, attn_mask=mask), expected, inputs)


@pytest.mark.parametrize("kernels", [False, True])
def test_a_call_without_batch_keeps_its_axes(kernels, request):
    if not kernels:
        request.getfixturevalue("no_kernels")
    q, k, v = (x[0].detach() for x in arrays())
    mask = maskkit.create("sliding_window", **WINDOW)
    expected = scaled_dot_product_attention(q, k, v, attn_mask=mask.allowed("torch"))
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v, attn_mask=mask), expected)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_sdpa_maps_over_a_batch():
    mask = maskkit.create("sliding_window", **WINDOW)
    inputs = [x.detach() for x in arrays(batch=3)]
    mapped = torch.vmap(lambda q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=mask))
    torch.testing.assert_close(mapped(*(x[:, None] for x in inputs))[:, 0], maskkit.attend(*inputs, mask))


def test_a_mask_of_other_lengths_names_the_axis():
    with pytest.raises(ConfigError, match="47 along the axis 'key', the arrays have 48"):
        scaled_dot_product_attention(*arrays(), attn_mask=maskkit.create("causal", seq_len=N)[:, : N - 1])


def test_masks_that_were_there_before_torch_compile_too():
    """Their classes are known to Torch when the first graph is made."""
    code = """
import maskkit
mask = maskkit.create("sliding_window", seq_len=16, window_size=3) & maskkit.create("causal", seq_len=16)
import torch
q = torch.randn(1, 1, 16, 4)
call = torch.compile(lambda mask: maskkit.attend(q, q, q, mask), backend="eager", fullgraph=True)
assert torch.equal(call(mask), maskkit.attend(q, q, q, mask))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@frozen(kw_only=True)
class Looking(Kernel):
    """It looks at the values, as no kernel can that is traced."""

    name = "looking"
    traceable = False

    def fits(self, problem):
        return 0.0

    def attend(self, query, key, value, mask, problem):
        assert query.detach().numpy().any()
        return maskkit.attend(
            query, key, value, mask, scale=problem.scale, return_lse=problem.return_lse, enable_gqa=True, kernel="area"
        )


@pytest.mark.parametrize("return_lse", [False, True])
def test_a_kernel_that_cannot_be_traced_is_one_operator(return_lse):
    mask, inputs = maskkit.create("sliding_window", **WINDOW), arrays(heads=4)
    call = partial(maskkit.attend, mask=mask, kernel=Looking(), return_lse=return_lse, enable_gqa=True)
    compile_graph, graphs = counting()
    compiled = torch.compile(call, backend=compile_graph, fullgraph=True)
    assert_same(compiled(*inputs), call(*inputs), inputs)
    assert len(graphs) == 1


def test_numpy_is_never_compiled():
    q = np.ones((1, 1, 4, 2))
    assert isinstance(maskkit.attend(q, q, q), np.ndarray)
