"""What one rank of tests/jepa/test_distributed.py runs, under torchrun: draw, compare shapes, write its masks down."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
import maskkit
from maskkit_jepa import MaskCollator, Numbered

SAMPLES, BATCH, STEPS = 64, 8, 4
CONFIG = {"type": "multi_block", "input_size": 96, "seed": 9}


def gathered(tensor):
    """The tensors of all ranks; the shapes must agree, or this raises."""
    shapes = [None] * dist.get_world_size()
    dist.all_gather_object(shapes, tuple(tensor.shape))
    assert len(set(shapes)) == 1, shapes
    parts = [torch.empty_like(tensor) for _ in shapes]
    dist.all_gather(parts, tensor.contiguous())
    return torch.stack(parts).numpy()


def in_the_loop(rank, world):
    """Contexts, targets, and trimmed context numbers: (world, STEPS * BATCH, ...)."""
    strategy = maskkit.create(CONFIG)
    drawn = [strategy.at(step, BATCH, rank, world) for step in range(STEPS)]
    index = [masks.to_indices(10, target_count=6) for masks in drawn]
    return {
        "context": gathered(torch.cat([masks.context for masks in drawn])),
        "targets": gathered(torch.cat([masks.targets for masks in drawn])),
        "index": gathered(torch.cat([part.context for part in index])),
    }


def by_a_loader(start):
    """The same with workers, from a batch of epoch 1 on: sample numbers, contexts and targets."""
    data = Numbered(TensorDataset(torch.arange(SAMPLES)))
    sampler = DistributedSampler(data, seed=4)
    sampler.set_epoch(1)
    rest = list(sampler)[start * BATCH :]
    collate = MaskCollator(maskkit.create(CONFIG), epoch=1)
    loader = DataLoader(data, batch_size=BATCH, sampler=rest, num_workers=2, collate_fn=collate)
    batches = [(numbers, masks) for (numbers,), masks in loader]
    return {
        "numbers": gathered(torch.cat([numbers for numbers, _ in batches])),
        "context": gathered(torch.cat([masks.context for _, masks in batches])),
        "targets": gathered(torch.cat([masks.targets for _, masks in batches])),
    }


def main(folder):
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    found = {"loop": in_the_loop(rank, world), "loader": by_a_loader(0), "resumed": by_a_loader(2)}
    for name, arrays in found.items():
        if rank == 0:
            np.savez(folder / f"{name}.npz", **arrays)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
