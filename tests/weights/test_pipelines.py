"""Karlo and Stable Diffusion: out as diffusers' folders and in again, in their authors' own layouts, and what
is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

import armchair
from armchair.core.bundle import Bundle, verify
from armchair.core.errors import ArmchairError, Unsupported
from armchair.text.clip_bpe import ClipBPE
from armchair.weights.exporting.run import export_bundle
from armchair.weights.importing.plan import Options
from armchair.weights.importing.run import import_weights
from armchair.weights.tables import keys as table
from armchair.weights.tables import latent as latent_tables
from tests.weights.made import VOCAB, merges_file, save_archive
from tests.weights.systems import KARLO, STABLE, bundle_of
from tests.weights.test_references_unclip import openai_names


@pytest.fixture(scope="module")
def karlo(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("karlo") / "karlo", "dalle2", KARLO)


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("stable") / "stable", "dalle3", STABLE)


def same(found: Bundle, wanted: Bundle, *but: str) -> None:
    """Every config and every number, to a rounding where a scale is moved from one tensor to another."""
    assert verify(found.folder) == []
    assert set(found.components) == set(wanted.components)
    for name in wanted.components:
        assert found.config(name) == wanted.config(name), name
        if name == "text":
            continue
        ours, theirs = found.tensors(name), wanted.tensors(name)
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - set(but):
            torch.testing.assert_close(ours[key], theirs[key], atol=1e-5, rtol=1e-5, msg=f"{name} {key}")


def folder_of(bundle: Bundle, folder: Path) -> Path:
    return export_bundle(bundle, "diffusers", folder)


def test_karlo_out_and_in(tmp_path: Path, karlo: Bundle):
    """A pipeline's folder is the whole system, its image tower beside it; what came in draws the same."""
    folder = folder_of(karlo, tmp_path / "out")
    found = import_weights(str(folder), tmp_path / "in", licence="MIT")
    same(found, karlo, "logit_scale")
    options = {"seed": 3, "steps": 2, "prior_steps": 2, "size": "64x64"}
    (a,), (b,) = (armchair.load(where.folder).generate("the red cat", **options) for where in (karlo, found))
    assert a.image.tobytes() == b.image.tobytes()
    assert found.manifest.defaults["prior_guidance"] == 4.0


def test_karlos_own_files(tmp_path: Path, karlo: Bundle):
    """Five files of torch's in their authors' names: q, k and v head by head, blocks counted through,
    statistics apart; the rest of a checkpoint is left behind.
    """
    folder, files = folder_of(karlo, tmp_path / "out"), tmp_path / "karlo"
    files.mkdir()
    state = {name: read(folder, name) for name in ("prior", "decoder", "text_proj", "super_res_first",
                                                   "super_res_last")}  # fmt: skip
    decoder = openai_names(KARLO["decoder"].unet, state["decoder"])
    names = {
        "encoder_hidden_states_proj": "text_seq_proj.0",
        "text_encoder_hidden_states_norm": "text_seq_proj.1",
        "clip_extra_context_tokens_proj": "clip_tok_proj",
        "embedding_proj": "text_feat_proj",
        "clip_image_embeddings_project_to_time_embeddings": "clip_emb",
    }
    for key, value in state["text_proj"].items():
        part, _, end = key.partition(".")
        decoder[f"model.{names[part]}.{end}" if end else "model.cf_param"] = value
    enlarge: dict[str, Tensor] = {}
    for part, start in (("super_res_first", "model_first_steps"), ("super_res_last", "model_last_step")):
        named = openai_names(KARLO["upsample_256"].unet, state[part])
        enlarge |= {key.replace("model.", f"{start}.", 1): value for key, value in named.items()}
    prior = state["prior"]
    stats = tuple(prior.pop(name)[0] for name in ("clip_mean", "clip_std"))
    for name, tensors in (("prior", prior_names(prior, heads=1)), ("decoder", decoder)):
        torch.save(
            {"state_dict": tensors, "global_step": torch.tensor(5)},
            files / f"{name}-ckpt-step=01000000-of-01000000.ckpt",
        )
    torch.save({"state_dict": enlarge}, files / "improved-sr-ckpt-step=1.2M.ckpt")
    torch.save(stats, files / "ViT-L-14_stats.th")
    clip = karlo.tensors("clip")
    ours = {
        **{key: value for key, value in table.revert(clip_table(), clip).items()},
        **{name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")},
    }
    save_archive(ours, files / "ViT-L-14.pt")
    merges = tmp_path / "merges.gz"
    merges.write_bytes(merges_file())
    found = import_weights(str(files), tmp_path / "in", options=Options(merges=merges))
    same(found, karlo)
    assert "RAIL" in found.manifest.licence
    assert any("global_step" in key for key in found.trained["imported"]["dropped"])
    (files / "ViT-L-14_stats.th").unlink()
    with pytest.raises(ArmchairError, match="Karlo's statistics is missing, a file called ViT-L-14_stats"):
        import_weights(str(files), tmp_path / "again", options=Options(merges=merges))
    assert not (tmp_path / "again").exists()


def clip_table() -> table.Table:
    from armchair.weights.tables.clip import OPENAI_VIT

    return OPENAI_VIT


def read(folder: Path, name: str) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / name / "diffusion_pytorch_model.safetensors")


def prior_names(state: dict[str, Tensor], heads: int) -> dict[str, Tensor]:
    """diffusers' prior under Karlo's names, by the published table."""
    names = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "proj_in": "clip_img_proj", "embedding_proj": "text_emb_proj",
        "encoder_hidden_states_proj": "text_enc_proj", "norm_out": "final_ln",
        "proj_to_clip_embeddings": "out_proj",
    }  # fmt: skip
    parts = {
        "norm1": "ln_1", "norm3": "ln_2", "attn1.to_out.0": "attn.c_proj", "ff.net.0.proj": "mlp.c_fc",
        "ff.net.2": "mlp.c_proj",
    }  # fmt: skip
    found = {
        "model.positional_embedding": state["positional_embedding"],
        "model.prd_emb": state["prd_embedding"],
    }
    for end in ("weight", "bias"):
        found |= {f"model.{new}.{end}": state[f"{old}.{end}"] for old, new in names.items()}
        for n in range(KARLO["prior"].depth):
            at, to = f"transformer_blocks.{n}", f"model.transformer.resblocks.{n}"
            found |= {f"{to}.{new}.{end}": state[f"{at}.{old}.{end}"] for old, new in parts.items()}
            rows = [state[f"{at}.attn1.to_{x}.{end}"].chunk(heads) for x in "qkv"]
            by_head = [part for one in zip(*rows, strict=True) for part in one]
            found[f"{to}.attn.c_qkv.{end}"] = torch.cat(by_head)
    return found


def test_stable_diffusion_out_and_in(tmp_path: Path, stable: Bundle):
    """The same of a latent model."""
    found = import_weights(str(folder_of(stable, tmp_path / "out")), tmp_path / "in", licence="MIT")
    same(found, stable)
    (a,), (b,) = (armchair.load(where.folder).generate("cat", seed=3, steps=2) for where in (stable, found))
    assert a.image.tobytes() == b.image.tobytes()


@pytest.mark.parametrize("version", [1, 2])
def test_stable_diffusion_in_one_file(tmp_path: Path, stable: Bundle, version: int):
    """CompVis' layout: three networks in one file, the decoder's levels from the finest, 8 heads; in version
    2 linear ends, and open_clip's tower without its last block. Averages and tables are left behind.
    """
    words = STABLE["text_encoder"]
    shared = {"spacing": "leading", "residue": True, "groups": 32, "time_width": 64}
    levels = tuple(replace(level, width=64 * (i + 1)) for i, level in enumerate(STABLE["latent"].levels))
    if version == 1:
        own = {"heads": 8, "head_width": 64, "side": 512}
    else:
        words = replace(words, quick_gelu=False, pad=0)
        own = {"heads": 0, "head_width": 64, "side": 768, "prediction": "v"}
    latent = replace(STABLE["latent"], levels=levels, words=words, **shared, **own)
    coder = replace(STABLE["autoencoder"], widths=(32, 64), groups=32, image_size=256)
    made = bundle_of(
        tmp_path / "made", "dalle3", {"autoencoder": coder, "text_encoder": words, "latent": latent}
    )
    tensors = {name: made.tensors(name) for name in ("autoencoder", "text_encoder", "latent")}
    unet = {key.removeprefix("unet."): x for key, x in tensors["latent"].items() if key.startswith("unet.")}
    linear = version == 2
    rows: Callable[[table.Table, dict[str, Tensor], str], dict[str, Tensor]] = lambda t, x, start: {  # noqa: E731
        start + key: value for key, value in table.revert(t, x).items()
    }
    state = {
        **rows(latent_tables.compvis_unet(latent.unet, linear), unet, "model.diffusion_model."),
        **rows(latent_tables.compvis_autoencoder(coder), tensors["autoencoder"], "first_stage_model."),
        "model_ema.decay": torch.tensor(0.9),
        "betas": torch.ones(3),
    }
    if version == 1:
        start = "cond_stage_model.transformer.text_model."
        state |= rows(latent_tables.CLIP_WORDS, tensors["text_encoder"], start)
    else:
        start = "cond_stage_model.model."
        tower = rows(latent_tables.OPEN_CLIP_WORDS, tensors["text_encoder"], start)
        last = {
            key.replace("resblocks.0.", "resblocks.1."): x
            for key, x in tower.items()
            if "resblocks.0." in key
        }
        state |= tower | last | {f"{start}text_projection": torch.ones(64, 24)}
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({key: value.contiguous().clone() for key, value in state.items()}, path)
    merges = tmp_path / "merges.gz"
    merges.write_bytes(merges_file())
    if version == 2:
        with pytest.raises(ArmchairError, match="does not say what it predicts: --prediction eps"):
            import_weights(str(path), tmp_path / "in", options=Options(merges=merges))
    options = Options(merges=merges, prediction="v" if version == 2 else None)
    found = import_weights(str(path), tmp_path / "in", options=options)
    same(found, made)
    dropped = found.trained["imported"]["dropped"]
    assert dropped["model_ema.decay"].startswith("an average") and "betas" in dropped


def test_what_diffusers_cannot_hold(tmp_path: Path, karlo: Bundle, stable: Bundle):
    """By the name of the component or the field, and nothing is written."""
    wide = bundle_of(
        tmp_path / "film", "dalle3", {**STABLE, "latent": replace(STABLE["latent"], modulation="film")}
    )
    eight = {**KARLO, "upsample_256": replace(KARLO["upsample_256"], rounded=True)}
    for bundle, words in (
        (wide, "film has U-Net.modulation='film'"),
        (bundle_of(tmp_path / "rounded", "dalle2", eight), "rounded has upsampler.rounded=True"),
    ):
        with pytest.raises(Unsupported, match=words):
            export_bundle(bundle, "diffusers", tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("decoder/config.json", {"class_embed_type": "timestep"}, "class_embed_type 'timestep'; 'identity'"),
        ("decoder/config.json", {"mid_block_type": None}, "decoder of out has mid_block_type None"),
        ("decoder/config.json", {"block_out_channels": 64}, "block_out_channels is 64, not a list"),
        ("prior/config.json", {"added_emb_type": None}, "prior of out has added_emb_type None; 'prd'"),
        ("super_res_last/config.json", {"sample_size": 128}, "have different sizes"),
        ("decoder/config.json", {"block_out_channels": [66, 128]}, "width 66, no multiple of groups 32"),
        (
            "decoder/config.json",
            {"norm_num_groups": "x"},
            "norm_num_groups is 'x', not a whole number above 0",
        ),
        ("decoder/config.json", {"down_block_types": {}}, "down_block_types is {}, not a list of words"),
        (
            "prior/config.json",
            {"num_attention_heads": 0},
            "num_attention_heads is 0, not a whole number above",
        ),
        (
            "prior_scheduler/scheduler_config.json",
            {"clip_sample": "x"},
            "clip_sample is 'x', neither true nor",
        ),
        ("decoder_scheduler/scheduler_config.json", {"variance_type": "fixed_small_log"}, "variance_type"),
        ("prior_scheduler/scheduler_config.json", {"prediction_type": "epsilon"}, "'sample' is supported"),
        ("text_proj/config.json", {"clip_extra_context_tokens": 8}, "clip_extra_context_tokens 8; 4 is"),
    ],
)
def test_variants_are_named(tmp_path: Path, karlo: Bundle, file: str, changes: dict, words: str):
    """Numbers that would silently be others: one line with the value and what is supported."""
    folder = folder_of(karlo, tmp_path / "out")
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ArmchairError, match=words):
        import_weights(str(folder), tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_a_folder_that_is_not_whole(tmp_path: Path, karlo: Bundle, stable: Bundle):
    """A missing part, a download that did not end, weights cut short, a tensor more: nothing is written."""
    folder = folder_of(karlo, tmp_path / "out")
    weights = folder / "prior" / "diffusion_pytorch_model.safetensors"
    data = weights.read_bytes()
    for damage, words in (
        (lambda: weights.write_bytes(data[:-4]), "is cut short"),
        (
            lambda: weights.rename(weights.with_name(weights.name + ".incomplete")),
            "not downloaded to the end",
        ),
        (lambda: (folder / "prior" / "config.json").unlink(), "prior/config.json is not there"),
    ):
        damage()
        with pytest.raises(ArmchairError, match=words):
            import_weights(str(folder), tmp_path / "in")
    folder = folder_of(stable, tmp_path / "stable-out")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({**tensors, "strange": torch.ones(1)}, path)
    with pytest.raises(ArmchairError, match="Keys without a place: strange"):
        import_weights(str(folder), tmp_path / "in")
    (folder / "vae" / "config.json").write_text("{")
    with pytest.raises(ArmchairError, match="vae/config.json is damaged"):
        import_weights(str(folder), tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_without_an_image_tower(tmp_path: Path, karlo: Bundle):
    """Text to picture alone: pictures that are to be read are refused with the remedy, and with --clip, which
    may be any CLIP's folder, everything is there.
    """
    folder = folder_of(karlo, tmp_path / "out")
    for part in ("image_encoder", "feature_extractor"):
        (folder / part).rename(tmp_path / part)
    alone = armchair.load(import_weights(str(folder), tmp_path / "alone").folder)
    assert alone.operations == {"generate"}
    with pytest.raises(Unsupported, match="import it again with --clip"):
        _ = alone.pipeline.embedder.image_size  # type: ignore[attr-defined]
    picture = Image.new("RGB", (64, 64))
    with pytest.raises(Unsupported, match="cannot do variations: .* import it again with --clip"):
        alone.variations(picture)
    with pytest.raises(Unsupported, match="cannot do inpaint: a decoder of Karlo's form is not shown"):
        alone.inpaint(picture, picture, "cat")
    whole = import_weights(str(folder), tmp_path / "whole", options=Options(clip=tmp_path / "image_encoder"))
    same(whole, karlo, "logit_scale")
    assert whole.trained["imported"]["others"]["clip"]["files"]
    with pytest.raises(ArmchairError, match="neither image_encoder/config.json nor config.json of a CLIP"):
        import_weights(str(folder), tmp_path / "no", options=Options(clip=tmp_path / "feature_extractor"))


def test_bf16_keeps_scales(tmp_path: Path, karlo: Bundle):
    """Half the file; means and deviations stay as they are."""
    found = import_weights(str(folder_of(karlo, tmp_path / "out")), tmp_path / "in", dtype="bf16")
    prior = found.tensors("prior", lambda key, value: value)
    assert prior["out.weight"].dtype == torch.bfloat16 and prior["scale.std"].dtype == torch.float32
    assert isinstance(ClipBPE.load(found.bytes("text")), ClipBPE) and VOCAB > 512
    artist = armchair.load(found.folder, dtype="bf16")
    assert artist.generate("cat", seed=1, steps=2, prior_steps=2, size="64x64")
