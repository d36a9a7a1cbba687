"""Stable Diffusion, its autoencoder, the consistency decoder and T5's encoder against their own libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import armchair
from armchair.core.bundle import Bundle
from armchair.core.rng import SeedBatch
from armchair.dalle3.config import ClipWordsConfig, ConsistencyConfig, LatentConfig, T5Config
from armchair.dalle3.consistency import ConsistencyDecoder
from armchair.dalle3.parts import load_part
from armchair.dalle3.text_encoder import caption_tokens, keep_of
from armchair.nn.autoencoder import AutoencoderConfig
from armchair.nn.unet import LevelSpec
from armchair.text.tokenizer import load_any
from armchair.weights.exporting.run import export_bundle
from armchair.weights.importing.latent import network
from armchair.weights.importing.run import import_weights
from armchair.weights.tables import latent as tables
from armchair.weights.tables.keys import fit, revert
from tests.text.test_t5 import PIECES, spiece
from tests.weights.pipelines import autoencoder, library, stable_diffusion, stirred
from tests.weights.test_references_unclip import as_lazy

pytestmark = [pytest.mark.references, pytest.mark.filterwarnings("ignore")]

CONFIGS: dict[str, dict[str, Any]] = {
    "as version 1": {},
    "as version 2": {
        "heads": (2, 4), "linear": True, "predicts": "v_prediction", "act": "gelu", "pad": "!",
        "attends": (True, True),
    },
    "three levels, odd widths": {
        "widths": (24, 40, 56), "depth": 2, "attends": (True, True, False), "heads": 4, "width": 48,
        "vae": (8, 16, 24),
    },
    "scheduler of version 1.5": {"spacing": "leading", "clean": False, "published": "PNDMScheduler"},
    "leading, down to the clean latent": {"spacing": "leading", "predicts": "v_prediction"},
    "trailing, with a residue": {"clean": False},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_from_text(tmp_path: Path, name: str):
    """From the same noise to the same picture: padding that is read, heads, v, the latents' scale."""
    theirs = stable_diffusion(tmp_path / "theirs", **CONFIGS[name])
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    artist, seeds = armchair.load(bundle.folder), [7, 8]
    got = [picture.image for picture in artist.generate("the red cat", n=2, seed=7, steps=5, guidance=3.0)]
    noise = SeedBatch(seeds).normal(4, 8, 8)
    want = theirs(
        "the red cat", num_images_per_prompt=2, num_inference_steps=5, guidance_scale=3.0, latents=noise,
        height=got[0].height, width=got[0].width,
    ).images  # fmt: skip
    both = [np.stack([np.asarray(image, dtype=np.int64) for image in row]) for row in (got, want)]
    assert both[1].std() > 5
    assert np.abs(both[0] - both[1]).max() <= 1


def test_steps_that_do_not_divide(tmp_path: Path):
    """Of a leading schedule every 1000 // 7th level is visited, the last of them not the noisiest."""
    theirs = stable_diffusion(tmp_path / "theirs", spacing="leading", clean=False)
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    (got,) = armchair.load(bundle.folder).generate("the red cat", seed=7, steps=7, guidance=3.0)
    (want,) = theirs(
        "the red cat", num_inference_steps=7, guidance_scale=3.0, latents=SeedBatch([7]).normal(4, 8, 8),
        height=16, width=16,
    ).images  # fmt: skip
    assert np.abs(np.asarray(got.image, dtype=int) - np.asarray(want, dtype=int)).max() <= 1


@pytest.mark.parametrize(
    "shape",
    [{"widths": (8, 16)}, {"widths": (8, 24, 16), "depth": 2}, {"widths": (16,), "attention": False}],
)
def test_an_autoencoder(tmp_path: Path, shape: dict[str, Any]):
    """Both halves below 1e-4, by itself as a bundle; and the way back gives its own names again."""
    theirs = autoencoder(**shape)
    theirs.save_pretrained(tmp_path / "theirs")
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    ours: Any = load_part(bundle, "autoencoder", torch.device("cpu"), torch.float32)
    x = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        law, moments = theirs.encode(x).latent_dist, ours.encode(x)
        assert (moments.mean - law.mean).abs().max() < 1e-4
        assert (moments.log_variance - law.logvar).abs().max() < 1e-4
        want = theirs.decode(law.mean).sample
        assert want.std() > 0.05 and (ours.decode(moments.mean) - want).abs().max() < 1e-4
    back = revert(tables.diffusers_autoencoder(), ours.state_dict())
    assert back.keys() == theirs.state_dict().keys()


def test_the_consistency_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two steps from the same noise, with the mean and spread of latents that its file does not hold."""
    module = "diffusers.models.autoencoders.consistency_decoder_vae"
    theirs = stirred(
        library("diffusers").ConsistencyDecoderVAE(
            encoder_block_out_channels=(8, 16), encoder_layers_per_block=1, encoder_norm_num_groups=8,
            encoder_down_block_types=("DownEncoderBlock2D",) * 2, scaling_factor=0.18215,
            decoder_block_out_channels=(8, 16), decoder_layers_per_block=1, decoder_norm_num_groups=8,
            decoder_down_block_types=("ResnetDownsampleBlock2D",) * 2,
            decoder_up_block_types=("ResnetUpsampleBlock2D",) * 2,
        )
    )  # fmt: skip
    theirs.means.copy_(torch.tensor(tables.LATENT_MEAN)[None, :, None, None])
    theirs.stds.copy_(torch.tensor(tables.LATENT_STD)[None, :, None, None])
    theirs.save_pretrained(tmp_path / "theirs")
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    ours = load_part(bundle, "consistency", torch.device("cpu"), torch.float32)
    assert isinstance(ours, ConsistencyDecoder)
    latent, seeds = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2)), SeedBatch([5])
    for name in (module, "diffusers.schedulers.scheduling_consistency_decoder"):
        monkeypatch.setattr(library(name), "randn_tensor", lambda shape, **_: seeds.normal(*shape[1:]))
    with torch.no_grad():
        want = theirs.decode(latent).sample
        got = ours.draw(latent, SeedBatch([5]))
    assert (got - want.clamp(-1, 1)).abs().max() < 1 / 255


def test_t5(tmp_path: Path):
    """Below 1e-4 with and without padding, and its tokenizer beside it."""
    transformers = library("transformers")
    config = transformers.T5Config(
        vocab_size=len(PIECES), d_model=24, d_kv=6, d_ff=40, num_layers=3, num_heads=4,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    theirs = stirred(transformers.T5EncoderModel(config))
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "spiece.model").write_bytes(spiece())
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    ours: Any = load_part(bundle, "text_encoder", torch.device("cpu"), torch.float32)
    bpe = load_any(bundle.bytes("text"))
    tokens = torch.stack([caption_tokens(bpe.encode(text), ours.config) for text in ("a cat!!", "a")])[:, :40]
    keep = keep_of(tokens, ours.config)
    with torch.no_grad():
        want = theirs(tokens, attention_mask=keep.long()).last_hidden_state
        got = ours(tokens, keep)
    assert want.abs().max() > 0.1
    assert (got - want)[keep].abs().max() < 1e-4


def test_the_published_sizes():
    """Names, shapes and counts of the real networks, without memory for them."""
    diffusers, transformers = library("diffusers"), library("transformers")
    kinds = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    shared = {
        "in_channels": 4, "out_channels": 4, "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": kinds[0], "up_block_types": kinds[1],
    }  # fmt: skip
    one = ClipWordsConfig()
    levels = (*(LevelSpec(width=width, depth=2, attention="cross") for width in (320, 640, 1280)),
              LevelSpec(width=1280, depth=2))  # fmt: skip
    latent = {"ratios": ("1:1",), "levels": levels, "modulation": "add", "inpaints": False}
    two = ClipWordsConfig(text=type(one.text)(width=1024, depth=23, head_width=64), quick_gelu=False, pad=0)
    with torch.device("meta"):
        first = diffusers.UNet2DConditionModel(**shared, cross_attention_dim=768, attention_head_dim=8)
        second = diffusers.UNet2DConditionModel(
            **shared, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )
        coder = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), latent_channels=4, layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
        small = diffusers.ConsistencyDecoderVAE()
        t5 = transformers.T5EncoderModel(
            transformers.T5Config(
                vocab_size=32_128, d_model=4096, d_kv=64, d_ff=10_240, num_layers=24, num_heads=64,
                feed_forward_proj="gated-gelu", tie_word_embeddings=False,
            )
        )  # fmt: skip
        words = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16
            )
        )
    unets = [tables.denoiser(tables.diffusers_unet(linear), 0.18215) for linear in (False, True)]
    cases = [
        ("latent", LatentConfig(**latent, words=one, heads=8), unets[0], first, 859_520_964),
        ("latent", LatentConfig(**latent, words=two, heads=0, head_width=64), unets[1], second, 865_910_724),
        ("autoencoder", AutoencoderConfig(), tables.diffusers_autoencoder(), coder, 83_653_863),
        ("consistency", ConsistencyConfig(), tables.consistency(0.18215), small, None),
        ("text_encoder", T5Config(), tables.T5, t5, 4_762_310_656),
        ("text_encoder", two, tables.CLIP_WORDS, words, 340_387_840),
    ]
    for name, config, table, theirs, count in cases:
        ours = network(name, config)
        fitted = fit(table, as_lazy(theirs.state_dict()), ours.state_dict(), name)
        assert fitted.tensors.keys() == ours.state_dict().keys()
        if count is not None:
            assert sum(p.numel() for p in ours.parameters()) == count
            assert sum(p.numel() for p in theirs.parameters()) == count


def test_open_a_bundle(tmp_path: Path):
    """What stages of training take: kinds and components by the names that --using knows."""
    autoencoder((8, 16)).save_pretrained(tmp_path / "theirs")
    import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    found = Bundle.open(tmp_path / "ours")
    assert (found.kind, list(found.components)) == ("autoencoder", ["autoencoder"])


def test_out_again(tmp_path: Path):
    """An exported folder is a pipeline of diffusers: the same picture from the same noise."""
    theirs = stable_diffusion(tmp_path / "theirs", **CONFIGS["as version 2"])
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    export_bundle(bundle, "diffusers", tmp_path / "out")
    again = library("diffusers").StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    again.set_progress_bar_config(disable=True)
    noise = SeedBatch([1]).normal(4, 8, 8)
    call = {"num_inference_steps": 3, "latents": noise, "height": 16, "width": 16}
    (a,), (b,) = (pipeline("the red cat", **call).images for pipeline in (theirs, again))
    assert np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() <= 1
