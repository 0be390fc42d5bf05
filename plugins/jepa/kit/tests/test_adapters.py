"""Masks in the models of timm and transformers: the real classes, tiny, with random weights."""

import numpy as np
import pytest
import torch
import transformers
import maskkit
from maskkit import ConfigError
from maskkit_jepa import MaskBatch, keys
from maskkit_jepa.timm import KeepTokens, encode_context
from maskkit_jepa.transformers_vision import bool_masked_pos, vit_mae_noise, vjepa2_masks

IMAGE, PATCH, BATCH = 48, 8, 5
TOKENS = (IMAGE // PATCH) ** 2
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
VISION = dict(image_size=IMAGE, patch_size=PATCH)


@pytest.fixture(scope="module")
def masks():
    """Contexts of different sizes, so that padding and trimming are met."""
    drawn = maskkit.create("multi_block", input_size=IMAGE, patch_size=PATCH, overlap="allow", seed=2).sample(
        range(BATCH)
    )
    assert len(set(drawn.context.sum(dim=1).tolist())) > 1
    return drawn


@pytest.fixture(scope="module")
def images():
    return torch.randn(BATCH, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def same_weights():
    torch.manual_seed(0)


def outside(images, context):
    """The images with other pixels wherever the context is not."""
    side = IMAGE // PATCH
    pixels = context.view(-1, 1, side, 1, side, 1).expand(-1, 3, -1, PATCH, -1, PATCH).reshape(images.shape)
    return torch.where(pixels, images, torch.randn_like(images))


# -- timm -------------------------------------------------------------------------------------------------------------


def of_timm(module):
    """timm needs torchvision, which is there only where its build is that of Torch."""
    return pytest.importorskip(module, exc_type=ImportError)


def vit(**options):
    options = dict(img_size=IMAGE, patch_size=PATCH, embed_dim=16, depth=2, num_heads=2, num_classes=0) | options
    return of_timm("timm.models.vision_transformer").VisionTransformer(**options).eval()


@pytest.mark.parametrize("options", [{}, dict(reg_tokens=2), dict(class_token=False, global_pool="avg")])
def test_timm_encodes_the_context_alone(options, masks, images):
    """Each sample comes out as if it were alone, so padding plays no part; and hidden pixels change nothing."""
    model = vit(**options)
    model.patch_drop = KeepTokens()
    tokens, index = encode_context(model, images, masks)
    prefix = model.num_prefix_tokens
    assert tokens.shape == (BATCH, prefix + int(masks.context.sum(dim=1).max()), 16)
    other, _ = encode_context(model, outside(images, masks.context), masks)
    torch.testing.assert_close(other[index.context_valid], tokens[index.context_valid])
    for i in range(BATCH):
        alone, own = encode_context(model, images[i : i + 1], masks.rows(i, i + 1))
        assert own.context_valid.all()
        torch.testing.assert_close(tokens[i, index.context_valid[i]], alone[0])


def test_timm_tokens_are_those_of_the_blocks_on_kept_tokens(masks, images):
    """The oracle: timm's own steps, with the tokens picked by hand."""
    model = vit()
    model.patch_drop = KeepTokens()
    tokens, _ = encode_context(model, images, masks, count="min")
    embedded = model._pos_embed(model.patch_embed(images))
    for i in range(BATCH):
        index = masks.rows(i, i + 1).to_indices(tokens.shape[1] - 1).context[0]
        kept = torch.cat([embedded[i, :1], embedded[i, 1:][index]])
        torch.testing.assert_close(tokens[i], model.norm(model.blocks(kept[None]))[0])


@pytest.mark.parametrize("fused", [True, False])
def test_timm_padding_is_blocked_with_and_without_fused_attention(fused, masks, images):
    model = vit()
    model.patch_drop = KeepTokens()
    for block in model.blocks:
        block.attn.fused_attn = fused
    tokens, index = encode_context(model, images, masks)
    shortest = int(index.context_valid.sum(dim=1).argmin())
    alone, _ = encode_context(model, images[[shortest]], masks.rows(shortest, shortest + 1))
    torch.testing.assert_close(tokens[shortest, : alone.shape[1]], alone[0])


def test_timm_sees_everything_where_no_masks_are_set(masks, images):
    """The teacher's pass, before and after; the module adds no weights."""
    model = vit()
    whole = model.forward_features(images)
    names = list(model.state_dict())
    model.patch_drop = KeepTokens()
    encode_context(model, images, masks)
    torch.testing.assert_close(model.forward_features(images), whole)
    assert list(model.state_dict()) == names


def test_timm_gradients_reach_the_context_alone(masks, images):
    model = vit()
    model.patch_drop = KeepTokens()
    leaf = images.clone().requires_grad_()
    encode_context(model, leaf, masks, count="min")[0].square().sum().backward()
    moved = leaf.grad.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).abs().sum(dim=(1, 4, 5)).flatten(1) > 0
    assert not (moved & ~masks.context).any()
    assert moved.any(dim=1).all()


def test_timm_models_by_name_take_it(masks, images):
    model = of_timm("timm").create_model(
        "vit_tiny_patch16_224", img_size=IMAGE, patch_size=PATCH, depth=1, num_classes=0
    )
    model.patch_drop = KeepTokens()
    assert encode_context(model.eval(), images, masks, count=4)[0].shape == (BATCH, 5, 192)


def test_timm_eva_keeps_its_rotary_positions(masks, images):
    """Eva, the class of DINOv3 too, asks for the numbers of the patches, to turn them by their own places."""
    options = dict(img_size=IMAGE, patch_size=PATCH, embed_dim=16, depth=2, num_heads=2, num_classes=0)
    model = of_timm("timm.models.eva").Eva(**options, use_rot_pos_emb=True, use_abs_pos_emb=False).eval()
    whole = model.forward_features(images)
    model.patch_drop = KeepTokens(num_prefix_tokens=model.num_prefix_tokens, with_indices=True)
    torch.testing.assert_close(model.forward_features(images), whole)
    everything = np.ones((BATCH, TOKENS), bool)
    nothing_dropped = MaskBatch(
        context=everything, targets=everything[:, None], grid=masks.grid, sample_keys=keys(0, 0, range(BATCH))
    )
    torch.testing.assert_close(encode_context(model, images, nothing_dropped)[0], whole)
    tokens, _ = encode_context(model, images, masks, count="min")
    other, _ = encode_context(model, outside(images, masks.context), masks, count="min")
    torch.testing.assert_close(tokens, other)


def test_timm_mistakes_are_named(masks, images):
    model = vit()
    with pytest.raises(ConfigError, match=r"patch_drop of this model is Identity; .*model.patch_drop = .*KeepTokens"):
        encode_context(model, images, masks)
    model.patch_drop = KeepTokens()
    with pytest.raises(ConfigError, match="there are masks of 5 samples for a batch of 4"):
        encode_context(model, images[:4], masks)
    finer = maskkit.create("multi_block", input_size=IMAGE, patch_size=4, seed=2).sample(range(BATCH))
    with pytest.raises(ConfigError, match=r"the model has 36 patches, the masks' grid \(12, 12\) has 144"):
        encode_context(model, images, finer)


# -- transformers: bool_masked_pos ------------------------------------------------------------------------------------

WITH_MASK_TOKEN = {
    "ViT": lambda: transformers.ViTModel(transformers.ViTConfig(**SIZES, **VISION), use_mask_token=True),
    "IJepa": lambda: transformers.IJepaModel(transformers.IJepaConfig(**SIZES, **VISION), use_mask_token=True),
    "Beit": lambda: transformers.BeitModel(transformers.BeitConfig(**SIZES, **VISION, use_mask_token=True)),
    "Dinov2": lambda: transformers.Dinov2Model(
        transformers.Dinov2Config(**SIZES, **VISION, mlp_ratio=2, use_mask_token=True)
    ),
}


@pytest.mark.parametrize("name", WITH_MASK_TOKEN)
def test_what_is_masked_does_not_reach_the_model(name, masks, images):
    """Other pixels outside the context change nothing; and without the masks they do."""
    model = WITH_MASK_TOKEN[name]().eval()
    hidden = bool_masked_pos(masks)
    assert (hidden.shape, hidden.dtype) == ((BATCH, TOKENS), torch.bool)
    changed = outside(images, masks.context)
    with torch.no_grad():
        seen, other = (model(pixels, bool_masked_pos=hidden).last_hidden_state for pixels in (images, changed))
        torch.testing.assert_close(seen, other)
        assert (model(images).last_hidden_state - model(changed).last_hidden_state).abs().max() > 1e-3


def test_vit_for_masked_images_has_its_loss_on_what_is_masked(masks, images):
    config = transformers.ViTConfig(**SIZES, **VISION, encoder_stride=PATCH)
    model = transformers.ViTForMaskedImageModeling(config).eval()
    out = model(images, bool_masked_pos=bool_masked_pos(masks))
    hidden = ~masks.context.view(BATCH, 1, IMAGE // PATCH, 1, IMAGE // PATCH, 1)
    pixels = hidden.expand(-1, 3, -1, PATCH, -1, PATCH).reshape(images.shape)
    expected = (out.reconstruction - images).abs()[pixels].mean()
    torch.testing.assert_close(out.loss, expected, rtol=1e-3, atol=1e-5)


def test_video_mae_takes_masks_of_equal_counts():
    """A clip of 4 x 2 x 2 tokens: the encoder sees those of the context, and they alone."""
    config = transformers.VideoMAEConfig(**SIZES, image_size=16, patch_size=8, num_frames=8, decoder_hidden_size=8)
    model = transformers.VideoMAEModel(config).eval()
    context = np.zeros((3, 16), bool)
    context[0, :5] = context[1, 3:10] = context[2, ::2] = True
    masks = MaskBatch(context=context, targets=~context[:, None], grid=(4, 2, 2), sample_keys=keys(0, 0, range(3)))
    hidden = bool_masked_pos(masks, count="min")
    assert ((~hidden).sum(dim=1) == 5).all()
    assert not (~hidden & ~masks.context).any()
    clip = torch.randn(3, 8, 3, 16, 16)
    by_token = clip.view(3, 4, 2, 3, 2, 8, 2, 8)
    kept = ~hidden.view(3, 4, 1, 1, 2, 1, 2, 1)
    changed = torch.where(kept, by_token, torch.randn_like(by_token)).view(clip.shape)
    with torch.no_grad():
        one, other = (model(pixels, bool_masked_pos=hidden).last_hidden_state for pixels in (clip, changed))
    assert one.shape == (3, 5, 16)
    torch.testing.assert_close(one, other)


# -- transformers: ViTMAE ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.9, 0.8])
def test_vit_mae_keeps_tokens_of_the_context_and_restores_them(ratio, masks, images):
    config = transformers.ViTMAEConfig(
        **SIZES,
        **VISION,
        mask_ratio=ratio,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    model = transformers.ViTMAEForPreTraining(config).eval()
    noise = vit_mae_noise(masks, config.mask_ratio)
    kept = int(TOKENS * (1 - ratio))
    with torch.no_grad():
        out = model(images, noise=noise)
        encoded = model.vit(images, noise=noise)
        other = model.vit(outside(images, masks.context), noise=noise)
    index = masks.to_indices(kept, "max")
    assert encoded.last_hidden_state.shape == (BATCH, 1 + kept, 16)
    torch.testing.assert_close(encoded.last_hidden_state, other.last_hidden_state)
    assert torch.equal(out.ids_restore, index.restore)
    seen = torch.zeros(BATCH, TOKENS, dtype=torch.bool).scatter(1, index.context, True)
    assert torch.equal(out.mask == 0, seen)
    assert not (seen & ~masks.context).any()


def test_vit_mae_needs_contexts_that_are_large_enough(masks):
    fewest = int(masks.context.sum(dim=1).min())
    with pytest.raises(ConfigError, match=rf"mask_ratio=0.5 keeps 18 of 36 tokens, but a context has only {fewest};"):
        vit_mae_noise(masks, 0.5)


# -- transformers: V-JEPA 2 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vjepa2():
    torch.manual_seed(0)
    config = transformers.VJEPA2Config(
        crop_size=32,
        patch_size=8,
        frames_per_clip=4,
        tubelet_size=2,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        pred_hidden_size=24,
        pred_num_hidden_layers=1,
        pred_num_attention_heads=2,
        pred_num_mask_tokens=2,
        attn_implementation="eager",
    )
    return transformers.VJEPA2Model(config).eval()


@pytest.fixture(scope="module")
def clip_masks():
    """Of 2 x 4 x 4 tokens: two targets in each sample, which overlap; the context is what they leave."""
    targets = np.zeros((3, 2, 2, 4, 4), bool)
    for i, (row, column) in enumerate([(0, 0), (1, 2), (2, 1)]):
        targets[i, 0, :, row : row + 2, column : column + 2] = True
        targets[i, 1, :, row, : column + 2] = True
    targets = targets.reshape(3, 2, 32)
    return MaskBatch(context=~targets.any(axis=1), targets=targets, grid=(2, 4, 4), sample_keys=keys(0, 0, range(3)))


def test_vjepa2_predicts_the_targets_from_the_context(vjepa2, clip_masks):
    """Its two gathers give the encoder's tokens at the context and at the union of the targets."""
    given = vjepa2_masks(clip_masks)
    context, target = given["context_mask"][0], given["target_mask"][0]
    assert clip_masks.context.gather(1, context).all()
    assert clip_masks.union.gather(1, target).all()
    assert context.shape == (3, int(clip_masks.context.sum(dim=1).min()))
    assert target.shape == (3, int(clip_masks.union.sum(dim=1).min()))
    clip = torch.randn(3, 4, 3, 32, 32)
    with torch.no_grad():
        out = vjepa2(clip, **given)
        moved = out.last_hidden_state.clone()
        moved[torch.ones_like(clip_masks.context).scatter(1, context, False)] = 7.0
        again = vjepa2.predictor(encoder_hidden_states=moved, **given).last_hidden_state
    for found, index in ((out.masked_hidden_state, context), (out.predictor_output.target_hidden_state, target)):
        expected = out.last_hidden_state.gather(1, index[..., None].expand(-1, -1, 24))
        torch.testing.assert_close(found, expected)
    assert out.predictor_output.last_hidden_state.shape == (*target.shape, 24)
    torch.testing.assert_close(again, out.predictor_output.last_hidden_state)


@pytest.mark.parametrize("label", ["short", "long"])
def test_vjepa2_takes_what_vjepa_draws(vjepa2, label):
    drawn = maskkit.create("vjepa", input_size=32, patch_size=8, num_frames=4, seed=0).sample(range(3))
    with torch.no_grad():
        out = vjepa2(torch.randn(3, 4, 3, 32, 32), **vjepa2_masks(drawn[label]))
    assert out.predictor_output.last_hidden_state.isfinite().all()
    assert out.masked_hidden_state.shape[1] == int(drawn[label].context.sum(dim=1).min())


def test_vjepa2_takes_counts(vjepa2, clip_masks):
    given = vjepa2_masks(clip_masks, count=10, target_count=6)
    with torch.no_grad():
        out = vjepa2(torch.randn(3, 4, 3, 32, 32), **given)
    assert out.masked_hidden_state.shape == (3, 10, 24)
    assert out.predictor_output.last_hidden_state.shape == (3, 6, 24)
    with pytest.raises(ConfigError, match="count=31 would need padding"):
        vjepa2_masks(clip_masks, count=31)


# -- all --------------------------------------------------------------------------------------------------------------


def test_groups_of_masks_are_refused_with_their_names(masks):
    groups = {"short": masks, "long": masks}
    for adapter in (bool_masked_pos, lambda m: vit_mae_noise(m, 0.9), vjepa2_masks):
        with pytest.raises(ConfigError, match=r"masks come in groups here \('short', 'long'\).*masks\['short'\]"):
            adapter(groups)


def test_adapters_keep_the_device(masks):
    there = masks.to("meta")
    assert bool_masked_pos(there).device.type == "meta"
    assert vit_mae_noise(there, 0.9).device.type == "meta"
    on_numpy = masks.numpy()
    assert isinstance(bool_masked_pos(on_numpy), torch.Tensor)
