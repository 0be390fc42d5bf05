"""Masks among Torch's own: compiled, exported, transformed, in modules, checkpoints and batches."""

import copy
import io
import pickle

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.data import DataLoader, default_collate
import maskkit

IDS = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
Q = torch.randn(2, 2, 8, 4, generator=torch.Generator().manual_seed(0))


def documents():
    """Another mask each time, and an equal one: its ids are a tensor."""
    return maskkit.create("document", ids=IDS.clone()) & maskkit.create("causal", seq_len=8)


EXPECTED = scaled_dot_product_attention(Q, Q, Q, attn_mask=documents().allowed("torch"))
USES = {
    "sdpa": lambda q, mask: scaled_dot_product_attention(q, q, q, attn_mask=mask),
    "attend": lambda q, mask: maskkit.attend(q, q, q, mask),
    "dense": lambda q, mask: maskkit.attend(q, q, q, mask, kernel="dense"),
    "booleans": lambda q, mask: scaled_dot_product_attention(q, q, q, attn_mask=mask.allowed("torch")),
    "blocked": lambda q, mask: scaled_dot_product_attention(q, q, q, attn_mask=~mask.blocked("torch")),
    "bias": lambda q, mask: scaled_dot_product_attention(q, q, q, attn_mask=mask.bias(backend="torch")),
}


def counted(function):
    """The function, compiled in one graph, and the graphs that were made."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend=backend), graphs


@pytest.mark.parametrize("use", USES)
def test_equal_masks_with_tensors_share_one_graph(use):
    compiled, graphs = counted(USES[use])
    for _ in range(3):
        torch.testing.assert_close(compiled(Q, documents()), EXPECTED)
    assert len(graphs) == 1
    other = maskkit.create("document", ids=IDS.flip(0))
    torch.testing.assert_close(compiled(Q, other), USES[use](Q, other))
    assert len(graphs) == 2


@pytest.mark.parametrize("use", USES)
def test_a_mask_with_tensors_is_a_constant_of_what_closes_over_it(use):
    mask = documents()
    compiled, graphs = counted(lambda q: USES[use](q, mask))
    torch.testing.assert_close(compiled(Q), EXPECTED)
    assert len(graphs) == 1


class Block(torch.nn.Module):
    """As a user writes it: the mask is an attribute, and plain data in the state."""

    def __init__(self, mask):
        super().__init__()
        self.mask, self.linear = mask, torch.nn.Linear(4, 4)

    def forward(self, x):
        return scaled_dot_product_attention(self.linear(x), x, x, attn_mask=self.mask)

    def get_extra_state(self):
        return maskkit.to_dict(self.mask)

    def set_extra_state(self, state):
        self.mask = maskkit.from_dict(state)


def test_a_checkpoint_holds_the_mask_as_plain_data():
    file = io.BytesIO()
    torch.save(Block(documents()).state_dict(), file)
    file.seek(0)
    other = Block(maskkit.create("causal", seq_len=8))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.mask == maskkit.create("document", ids=IDS.numpy()) & maskkit.create("causal", seq_len=8)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: x.to(torch.float64)])
def test_a_module_with_a_mask_is_copied_pickled_and_moved(way):
    assert way(Block(documents())).mask == documents()


def test_activations_of_a_module_with_a_mask_are_checkpointed():
    block, x = Block(documents()), Q.clone().requires_grad_()
    plain = torch.autograd.grad(block(x).sum(), x)[0]
    again = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(again.sum(), x)[0], plain)


def test_a_module_with_a_mask_is_exported():
    block = Block(documents())
    torch.testing.assert_close(torch.export.export(block, (Q,)).module()(Q), block(Q))


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # Torch's, of its vmap
@pytest.mark.parametrize("transform", [torch.func.grad, lambda f: torch.func.vmap(torch.func.grad(f))])
def test_functions_with_a_mask_are_transformed(transform):
    mask = documents()

    def loss(x):
        return scaled_dot_product_attention(x, x, x, attn_mask=mask).square().sum()

    x = Q if transform is torch.func.grad else Q[:, None]
    given = Q.clone().requires_grad_()
    torch.testing.assert_close(transform(loss)(x).reshape(Q.shape), torch.autograd.grad(loss(given), given)[0])


def test_a_mask_that_is_a_buffer_says_where_it_belongs():
    module = torch.nn.Module()
    module.register_buffer("mask", documents())
    with pytest.raises(AttributeError, match=r"keep it as an attribute .* maskkit.to_dict\(mask\)"):
        module.state_dict()


class Texts(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"tokens": torch.arange(8), "mask": maskkit.create("document", lengths=[index + 1, 7 - index])}


def collate(samples):
    """As the page tells: what is no mask by Torch's own, masks side by side."""
    masks = [sample.pop("mask") for sample in samples]
    return {**default_collate(samples), "mask": maskkit.stack(masks, axis="batch")}


def test_a_loader_makes_a_batch_of_masks():
    batch = next(iter(DataLoader(Texts(), batch_size=4, collate_fn=collate)))
    assert batch["mask"].shape == (4, 8, 8)
    assert batch["mask"][1].allowed()[1, 0]
    assert not batch["mask"][1].allowed()[2, 0]
