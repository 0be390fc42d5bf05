"""FlexAttention under Torch's own context parallelism, its rows dealt out by shards: output is that of one process."""

import sys
import warnings

import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group, which it would hold
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.experimental._attention import _context_parallel_shard
from torch.distributed.tensor.experimental._context_parallel._attention import _ContextParallel
from torch.distributed.tensor.parallel import parallelize_module
from torch.nn.attention.flex_attention import flex_attention
import maskkit
from maskkit_kernel_context_parallel import LoadBalancer

LENGTHS = [200, 100, 212]


class Attention(torch.nn.Module):
    """What Torch's context parallelism hooks into."""

    def forward(self, query, key, value, block_mask):
        return flex_attention(query, key, value, block_mask=block_mask)


def main():
    warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    mask = maskkit.create("document", lengths=LENGTHS) & maskkit.create("causal", seq_len=sum(LENGTHS))
    shards = maskkit.shards(mask, size, chunk=128)
    torch.manual_seed(0)
    arrays = [torch.randn(1, 2, sum(LENGTHS), 16) for _ in range(3)]
    mesh = init_device_mesh("cpu", (size,))
    balancer = LoadBalancer(shards, attention="flex_attention")
    own = _context_parallel_shard(mesh, [*arrays, mask.export("flex")], [2] * 4, load_balancer=balancer)
    plan = _ContextParallel(seq_dim=2, attention_type=_ContextParallel.AttentionType.FLEX)
    found = parallelize_module(Attention(), mesh, plan)(*own)
    expected = maskkit.attend(*arrays, mask)[:, :, torch.from_numpy(shards.rows(rank))]
    torch.testing.assert_close(found, expected, atol=5e-6, rtol=5e-6)
    dist.destroy_process_group()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
