"""What every rank runs: all cases against one process, each a line; an error ends the run."""

import os
import sys
from datetime import timedelta
from weakref import ref

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group, which it would hold
from torch.distributed.device_mesh import init_device_mesh
import maskkit
from maskkit_kernel_context_parallel import _exchange, _plan

N = 203  # no multiple of anything


def masks():
    """By name; the last have a batch, heads, or both."""
    causal = maskkit.create("causal", seq_len=N)
    documents = maskkit.create("document", lengths=[60, 3, 90, 50])
    window = maskkit.create("sliding_window", seq_len=N, window_size=17)
    yield "causal", causal
    yield "window", window
    yield "causal documents", documents & causal
    yield "prefix-LM", maskkit.create("prefix_lm", seq_len=N, prefix_len=41)
    yield "sinks and window", maskkit.create("sink", seq_len=N, window_size=17)
    yield "prefix tree", maskkit.create("prefix_tree", lengths=[100, 50, 53], parents=[-1, 0, 0])
    yield "composition", (documents & ~window) | maskkit.create("dilated", seq_len=N, window_size=20, dilation=4)
    yield "nothing", causal & ~causal
    rows = np.stack([np.arange(N) < 150, np.arange(N) >= 0])
    yield "padding", causal & maskkit.from_array(rows, true="allowed", axes=("batch", "token")).keys()
    yield "heads", maskkit.stack([causal, window, documents, causal.T], axis="head")


def tensors(dtype, kv_heads=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (2, 4, N, 8), (2, kv_heads, N, 8), (2, kv_heads, N, 6)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def check(name, mask, shards, dtype=torch.float32, tolerance=5e-6, group=None):
    """Output, log-sum-exp and all gradients of this rank's rows, against float64 in one process."""
    rank = dist.get_rank()
    rows = torch.from_numpy(shards.rows(rank))
    whole = tensors(dtype)
    wide = [x.double().requires_grad_() for x in whole]
    own = [x[:, :, rows].requires_grad_() for x in whole]
    want, want_lse = maskkit.attend(*wide, mask, enable_gqa=True, return_lse=True, kernel="area")
    found, lse = maskkit.attend(*own, mask, enable_gqa=True, return_lse=True, shards=shards, group=group)
    torch.testing.assert_close(found.double(), want[:, :, rows], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(lse.double(), want_lse[:, :, rows], atol=tolerance, rtol=tolerance)
    weights = torch.randn(want.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (want * weights).sum().backward()
    (found * weights[:, :, rows].to(dtype)).sum().backward()
    for ours, theirs in zip(own, wide, strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad[:, :, rows], atol=tolerance, rtol=tolerance)
    if rank == 0:
        sys.stdout.write(f"exact {name} {shards.plan} {dtype}\n")


def check_bytes(mask, shards):
    """What was sent, counted, is at most 1.02 of the whole chunks that spans touch."""
    rows = shards.rows(dist.get_rank())
    query, key, value = (x[:, :, rows] for x in tensors(torch.float32))
    before = _exchange.sent_bytes
    maskkit.attend(query, key, value, mask, enable_gqa=True, shards=shards)
    sent = torch.tensor(_exchange.sent_bytes - before)
    dist.all_reduce(sent)
    each = 2 * 2 * (8 + 6) * 4
    assert sent.item() == shards.fetched(mask).sum() * each
    assert sent.item() <= 1.02 * sum(shards.received) * each


class Model(torch.nn.Module):
    """Two layers of attention."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(16, 48) for _ in range(2))
        self.last = torch.nn.Linear(16, 1)

    def forward(self, x, mask, **options):
        for layer in self.layers:
            query, key, value = layer(x).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
            x = x + maskkit.attend(query, key, value, mask, **options).transpose(1, 2).flatten(2)
        return self.last(x)


def check_training(mask, shards):
    """Three steps give the weights of one process."""
    x = torch.randn(2, N, 16, generator=torch.Generator().manual_seed(3))
    rows = torch.from_numpy(shards.rows(dist.get_rank()))
    one, many = Model(), Model()
    for model, part, options in ((one, x, {"kernel": "area"}), (many, x[:, rows], {"shards": shards})):
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (model(part, mask, **options).square().sum() / x[..., 0].numel()).backward()
            if options.get("shards"):
                for parameter in model.parameters():
                    dist.all_reduce(parameter.grad)
            optimizer.step()
    for ours, theirs in zip(many.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=5e-6, rtol=5e-6)


def check_disagreement(mask, other, shards):
    """Mask, shards, shapes or rows of one rank unlike the others': an error on all that names it."""
    last = dist.get_world_size() - 1
    odd = dist.get_rank() == last
    whole = tensors(torch.float32)
    moved = maskkit.shards(mask, dist.get_world_size(), chunk=8, plan="head_tail")
    for what, own_mask, own_shards, kv_heads in (
        ("mask", other, shards, 2),
        ("shards", mask, moved, 2),
        ("shapes", mask, shards, 1),
        ("must be the", mask, shards, None),
    ):
        _plan._kept.clear()
        query, key, value = (x[:, :, (own_shards if odd else shards).rows(dist.get_rank())] for x in whole)
        if odd:
            key, value = (x[:, :kv_heads] for x in (key, value))
            query = query if kv_heads else query[:, :, 1:]
        try:
            maskkit.attend(
                query, key, value, own_mask if odd else mask, enable_gqa=True, shards=own_shards if odd else shards
            )
        except RuntimeError as error:
            said = str(error)
        else:
            said = "nothing"
        assert f"rank {last}" in said, said
        assert what in said, said


def end_badly(how, mask, shards):
    """The last rank dies, or sleeps, before the second call."""
    rank = dist.get_rank()
    own = [x[:, :, shards.rows(rank)] for x in tensors(torch.float32)]
    maskkit.attend(*own, mask, enable_gqa=True, shards=shards)
    if rank == dist.get_world_size() - 1:
        import time

        if how == "die":
            os._exit(7)
        time.sleep(14)
    maskkit.attend(*own, mask, enable_gqa=True, shards=shards)


def main(how):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=4 if how != "all" else 60))
    size = dist.get_world_size()
    found = dict(masks())
    causal = found["causal"]
    if how != "all":
        end_badly(how, causal, maskkit.shards(causal, size, chunk=8))
        return
    for name, mask in found.items():
        check(name, mask, maskkit.shards(mask, size, chunk=8))
    for plan in ("contiguous", "head_tail", "pareto"):
        check("causal", causal, maskkit.shards(causal, size, chunk=16, plan=plan))
    check("no mask", None, maskkit.shards(causal, size, chunk=16))
    check("ranks without rows", causal, maskkit.shards(causal, size))
    check("causal", causal, maskkit.shards(causal, size, chunk=8), torch.bfloat16, 0.02)
    for name in ("causal", "window", "causal documents", "sinks and window", "heads"):
        check_bytes(found[name], maskkit.shards(found[name], size, chunk=8))
    check("causal", causal, maskkit.shards(causal, size, chunk=8), group=init_device_mesh("cpu", (size,)))
    check("causal", causal, maskkit.shards(causal, size, chunk=8), group=dist.new_group(range(size)))
    check_training(found["causal documents"], maskkit.shards(found["causal documents"], size, chunk=8))
    check_disagreement(causal, found["window"], maskkit.shards(causal, size, chunk=8))
    group = ref(dist.group.WORLD)
    dist.destroy_process_group()
    assert group() is None, "its threads would still run when Python ends, which aborts"
    assert not _plan._kept
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(sys.argv[1])
