"""A model of transformers over ranks, on packed documents: its scores are those of one process."""

import sys

import torch
import torch.distributed as dist

sys.modules["torchvision"] = None  # not needed, and slow to import
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # noqa: E402
import maskkit  # noqa: E402

LENGTHS = [70, 33, 25]
MASK = maskkit.create("document", lengths=LENGTHS) & maskkit.create("causal", seq_len=sum(LENGTHS))


def attention(shards):
    """What transformers calls in every layer: queries, keys and values are this rank's rows."""

    def forward(module, query, key, value, attention_mask, scaling=None, dropout=0.0, sliding_window=None, **kwargs):
        if attention_mask is not None or sliding_window is not None:
            raise ValueError(
                "the model asks for a mask of its own, which would be dropped; say it in the mask of maskkit"
            )
        options = dict(scale=scaling, dropout_p=dropout, enable_gqa=True, shards=shards)
        return maskkit.attend(query, key, value, MASK, **options).transpose(1, 2).contiguous(), None

    return forward


def main():
    dist.init_process_group("gloo")
    size, rank = dist.get_world_size(), dist.get_rank()
    shards = maskkit.shards(MASK, size, chunk=8)
    ALL_ATTENTION_FUNCTIONS.register("ranks", attention(shards))
    ALL_ATTENTION_FUNCTIONS.register("one", attention(None))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config)
    words = torch.randint(50, (1, sum(LENGTHS)))
    places = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    rows = torch.from_numpy(shards.rows(rank))

    def scores(kind, rows):
        model.set_attn_implementation(kind)
        return model(words[:, rows], position_ids=places[:, rows], use_cache=False).logits

    torch.testing.assert_close(
        scores("ranks", rows), scores("one", torch.arange(words.shape[1]))[:, rows], atol=5e-6, rtol=5e-6
    )
    dist.destroy_process_group()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
