"""Train on packed documents that no single rank holds: each has some rows, and fetches the keys that these see.

    torchrun --standalone --nproc-per-node=4 examples/long_context.py --checkpoint run.pt
    python examples/long_context.py --ranks 4            # the same, and one line if a rank fails in place of a report
    python examples/long_context.py                      # the same losses in one process

A run that finds its checkpoint goes on from there, on any number of ranks.
"""

import argparse
import logging
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.nn  # here: imported later, it would hold the group for good, whose threads can abort the end
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn import functional
import maskkit

WORDS, WIDTH, HEADS, LAYERS = 32, 64, 4, 2


class Block(torch.nn.Module):
    """Attention and a small network, each added to what comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.network = torch.nn.Sequential(
            torch.nn.LayerNorm(WIDTH),
            torch.nn.Linear(WIDTH, 2 * WIDTH),
            torch.nn.GELU(),
            torch.nn.Linear(2 * WIDTH, WIDTH),
        )

    def forward(self, x, mask, shards):
        qkv = self.qkv(functional.layer_norm(x, (WIDTH,)))
        query, key, value = qkv.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(maskkit.attend(query, key, value, mask, shards=shards).transpose(1, 2).flatten(2))
        return x + self.network(x)


class Model(torch.nn.Module):
    """Words and places to the scores of the next word."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.words, self.places = torch.nn.Embedding(WORDS, WIDTH), torch.nn.Embedding(length, WIDTH)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.scores = torch.nn.Linear(WIDTH, WORDS)

    def forward(self, words, places, mask, shards):
        x = self.words(words) + self.places(places)
        for block in self.blocks:
            x = block(x, mask, shards)
        return self.scores(x)


def packed(lengths):
    """Documents that count up from a word of their own, and the place of every word in its document."""
    parts = [(torch.arange(length) + 5 * i) % WORDS for i, length in enumerate(lengths)]
    return torch.cat(parts)[None], torch.cat([torch.arange(length) for length in lengths])[None]


def train(steps: int, checkpoint: Path | None, length: int) -> None:
    lengths = [length // 2, length // 8, length // 8, length // 4]
    mask = maskkit.create("document", lengths=lengths) & maskkit.create("causal", seq_len=sum(lengths))
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if dist.is_initialized() else 0
    shards = maskkit.shards({mask: LAYERS}, ranks, chunk=32) if ranks > 1 else None
    rows = torch.arange(sum(lengths)) if shards is None else torch.from_numpy(shards.rows(rank))

    words, places = packed(lengths)
    following = words.roll(-1, 1)  # every document's last word is asked for the next one's first
    torch.manual_seed(0)
    model = Model(max(lengths))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    first = 0
    if checkpoint and checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    for step in range(first, steps):
        scores = model(words[:, rows], places[:, rows], mask, shards)
        loss = functional.cross_entropy(scores[0], following[0, rows], reduction="sum") / words.numel()
        optimizer.zero_grad()
        loss.backward()
        loss = loss.detach()
        if shards is not None:  # each has the part of its rows
            from maskkit_kernel_context_parallel import Watch

            for tensor in (loss, *(parameter.grad for parameter in model.parameters())):
                with Watch():
                    dist.all_reduce(tensor)
        optimizer.step()
        if rank == 0:
            sys.stdout.write(f"step {step + 1}/{steps} loss {loss.item():.6f}\n")
            sys.stdout.flush()
            if checkpoint:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                torch.save(state, part := checkpoint.with_suffix(".part"))
                part.replace(checkpoint)


def launch(ranks: int, arguments: list[str]) -> None:
    """This file on so many ranks, as torchrun does; the first rank that ends badly is named, and the others end."""
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    where = dict(run_id="long_context", rdzv_backend="c10d", rdzv_endpoint="localhost:0")
    config = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=ranks, max_restarts=0, **where)
    try:
        elastic_launch(config, sys.executable)(__file__, *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        how = f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
        sys.exit(f"rank {rank} {how}, and the run with it; with --checkpoint, the same command goes on from there")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--timeout", type=float, default=60, help="seconds that a rank is waited for")
    parser.add_argument("--ranks", type=int, default=1, help="how many to start, where torchrun does not")
    options = parser.parse_args()
    if options.ranks > 1 and "RANK" not in os.environ:
        launch(options.ranks, sys.argv[1:])
        return
    if "RANK" in os.environ:
        dist.init_process_group("gloo", timeout=timedelta(seconds=options.timeout))
    try:
        train(options.steps, options.checkpoint, options.length)
    except RuntimeError as error:
        if not dist.is_initialized():
            raise
        sys.exit(f"rank {dist.get_rank()} stops: {str(error).splitlines()[0]}")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
