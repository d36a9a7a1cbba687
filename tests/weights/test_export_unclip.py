"""What we train of Karlo's form goes out too: all four networks fresh from their recipes, as a folder whose
parts are diffusers' and draw the same.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import armchair
from armchair.cli.recipe_names import load_recipe
from armchair.core.bundle import Bundle, save_bundle
from armchair.core.errors import BadInput, Unsupported
from armchair.core.rng import SeedBatch
from armchair.dalle2.config import ArPriorConfig
from armchair.dalle2.parts import load_part
from armchair.nn.unet import LevelSpec
from armchair.train import build_task
from armchair.weights.exporting.diffusers import obstacles
from armchair.weights.exporting.run import export_bundle
from armchair.weights.importing.run import import_weights
from tests.dalle3.latents import Pictures
from tests.stages import batch
from tests.weights.pipelines import UNCLIP, library, precise, unclip_noise
from tests.weights.systems import KARLO, bundle_of
from tests.weights.test_export_trained import apart, learned

PROMPT = "a red square"
DRAWN: dict[str, Any] = {
    "seed": 7,
    "n": 2,
    "steps": 4,
    "guidance": 3.0,
    "prior_steps": 3,
    "prior_guidance": 2.0,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """CLIP, a prior and an upsampler, and a decoder on them: `karlo`, which is whole."""
    folder = tmp_path_factory.mktemp("trained")
    clip = learned(folder / "clip", "clip_tiny", {})
    prior = learned(folder / "prior", "dalle2_prior_karlo_tiny", {"clip": clip})
    up = learned(folder / "up", "dalle2_upsample256_karlo_tiny", {}, size=256)
    using = {"clip": clip, "prior": prior, "upsample_256": up}
    return {**using, "karlo": learned(folder / "karlo", "dalle2_decoder_karlo_tiny", using)}


def test_a_trained_system_out_and_in(tmp_path: Path, trained: dict[str, Bundle]):
    """The same two pictures, with guidance in both networks; small and enlarged. One upsampler becomes both
    of a folder's.
    """
    bundle = trained["karlo"]
    assert bundle.golden() is not None and not bundle.config("upsample_256")["last"]
    folder = export_bundle(bundle, "diffusers", tmp_path / "out")
    back = import_weights(str(folder), tmp_path / "in")
    for name in ("clip", "prior", "decoder"):
        found, wanted = ({**where.config(name), "vocab": "is CLIP's"} for where in (back, bundle))
        assert found == wanted, name
    ours, theirs = (armchair.load(where.folder) for where in (bundle, back))
    assert list(ours.sizes) == list(theirs.sizes) == ["64x64", "16x16"]
    assert ours.operations == theirs.operations
    for a, b in zip(ours.generate(PROMPT, **DRAWN), theirs.generate(PROMPT, **DRAWN), strict=True):
        assert torch.tensor(list(a.image.tobytes())).float().std() > 5 and apart(a.image, b.image) <= 1


def test_its_parts_learn_what_is_drawn(trained: dict[str, Bundle]):
    """Captions through CLIP's text tower and embeddings of any length; what stands for a hidden caption is
    the empty text, in both networks, since that is what guidance subtracts.
    """
    using = {name: trained[name] for name in ("clip", "prior", "upsample_256")}
    task: Any = build_task(load_recipe("dalle2_decoder_karlo_tiny"), using)
    image = torch.stack([task.example(Pictures()[i], torch.Generator())["image"] for i in range(4)])
    lengths = task.embedder.image_emb(image).norm(dim=-1)
    assert (lengths - 1).abs().min() > 1e-3
    hidden = [task.example(Pictures()[0], torch.Generator().manual_seed(i))["tokens"] for i in range(20)]
    empty = task.embedder.tokens("")
    assert 0 < sum(torch.equal(tokens, empty) for tokens in hidden) < 20
    loss, _ = task.loss(batch(task, list(range(8)), source=Pictures()), SeedBatch(range(8)))
    loss.backward()
    assert [name for name, p in task.net.named_parameters() if p.grad is None] == []
    prior: Any = build_task(load_recipe("dalle2_prior_karlo_tiny"), {"clip": trained["clip"]})
    tokens = torch.stack([prior.embedder.tokens(text) for text in ("a dog", "a red house")])
    some, _ = prior.read(tokens, torch.tensor([True, False]))
    nothing, _ = prior.read(torch.stack([tokens[0], empty]), torch.tensor([True, True]))
    assert all(torch.equal(some[name][:, :2], nothing[name][:, :2]) for name in ("words", "text"))
    assert torch.equal(some["keep"].sum(dim=1), nothing["keep"].sum(dim=1))


def test_embeddings_of_one_length(trained: dict[str, Bundle]):
    """A prior of unit embeddings beside a decoder that takes them as they are would draw noise: refused, with
    the field that says it; and so are settings that say nothing to such a decoder.
    """
    using = {name: trained[name] for name in ("clip", "prior")}
    with pytest.raises(
        BadInput, match="trained on embeddings as CLIP gives them, decoder is on those of len"
    ):
        build_task(load_recipe("dalle2_decoder_tiny"), using)
    with pytest.raises(BadInput, match="prior is on those of length one: task.net.unit"):
        build_task(load_recipe("dalle2_prior_tiny"), {"clip": trained["clip"], "decoder": trained["karlo"]})
    task = load_recipe("dalle2_decoder_karlo_tiny").task
    for changes, words in (
        ({"scale": "fitted"}, "takes CLIP's embeddings as they are, constant is needed"),
        ({"everything_masked": 0.5}, "does not inpaint, 1 is needed"),
    ):
        with pytest.raises(BadInput, match=words):
            replace(task, **changes)
    with pytest.raises(BadInput, match="task.scale=fitted is needed with task.net.unit=false"):
        replace(load_recipe("dalle2_prior_karlo_tiny").task, scale="constant")


def test_what_stands_in_the_way(tmp_path: Path, trained: dict[str, Bundle]):
    """Our own form: one line with the form that exports, the fields of its recipes and the recipe."""
    clip = {"clip": trained["clip"]}
    prior = learned(tmp_path / "prior", "dalle2_prior_tiny", clip)
    other = learned(tmp_path / "other", "dalle2_decoder_tiny", {**clip, "prior": prior})
    with pytest.raises(Unsupported) as caught:
        export_bundle(other, "diffusers", tmp_path / "out")
    said = str(caught.value)
    assert "\n" not in said and "as the recipe dalle2_decoder_karlo_tiny does" in said
    for what in (
        "no component upsample_256", "a decoder that reads captions in its own way",
        "a ClipDecoderConfig as its task.net", "prior.words='tokens'", "its prior's task.net.words=clip",
        "its prior's task.net.hidden=empty", "its prior's task.measured=false",
    ):  # fmt: skip
        assert what in said, what
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("clip", {"embed": 32}, "clip.text.width=64 beside embed=32"),
        ("decoder", {"prediction": "v"}, "decoder.prediction='v'"),
        ("decoder", {"learned_variance": False}, "decoder.learned_variance=False"),
        ("decoder", {"image_tokens": 2}, "decoder.image_tokens=2"),
        ("decoder", {"levels": (LevelSpec(width=64, depth=1),)}, "attention None in decoder.levels"),
        ("decoder", {"time_width": 32}, "U-Net.time_width=32 beside a level of 64"),
        ("prior", {"length": 8}, "prior.length=8"),
        ("prior", {"candidates": 2}, "prior.candidates=2"),
        ("upsample_256", {"predicts": "v"}, "upsampler.predicts='v'"),
        ("upsample_256", {"residual": 0.2}, "upsampler.residual=0.2"),
    ],
)
def test_every_other_form_is_named(part: str, changes: dict[str, Any], words: str):
    """Each of these once went out as a folder that diffusers cannot load, or draws other pictures with."""
    found = obstacles({**KARLO, part: replace(KARLO[part], **changes)})
    assert [one.what for one in found] == [words]
    assert found[0].instead.startswith("its ") or "task.net" in found[0].instead


def test_a_second_prior_and_upsampler_stay_behind():
    """A folder has places for one of each: the rest is whole without the others."""
    assert obstacles(KARLO) == []
    more = {"upsample_1024": KARLO["upsample_256"], "ar_prior": ArPriorConfig()}
    assert obstacles({**KARLO, **more}) == []


@pytest.mark.parametrize("stored", ["keep", "bf16"])
def test_an_imported_system_trains_on(tmp_path: Path, stored: str):
    """Its decoder goes on from its weights, on its own CLIP, prior and upsampler: before the first step it
    draws what it drew. In bf16 its prior is stored in two types, and goes along as it is.
    """
    made = bundle_of(tmp_path / "made", "dalle2", KARLO)
    folder = export_bundle(made, "diffusers", tmp_path / "out")
    bundle = import_weights(str(folder), tmp_path / "in", dtype=stored)
    task = replace(load_recipe("dalle2_decoder_karlo_tiny").task, net=KARLO["decoder"], v_weight=None)
    own: Any = task.build(dict.fromkeys(("clip", "prior", "upsample_256"), bundle), bundle)
    own.prepare(Pictures(size=64), torch.Generator().manual_seed(3))
    own.config = replace(own.config, storage="bfloat16" if stored == "bf16" else "float32")
    after = save_bundle(
        tmp_path / "after", kind=own.bundle_kind, name="after", components=own.components(),
        languages=["en"], licence="MIT", trained={}, scores={}, defaults=own.defaults,
    )  # fmt: skip
    few = {**DRAWN, "n": 1, "steps": 2, "prior_steps": 2, "size": "64x64"}
    (a,), (b,) = (armchair.load(where.folder).generate("cat", **few) for where in (bundle, after))
    assert apart(a.image, b.image) <= 1  # numbers that lie elsewhere in a file are added in another order


@pytest.mark.references
@pytest.mark.filterwarnings("ignore")
def test_in_diffusers(tmp_path: Path, trained: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch):
    """Its classes load every part and leave nothing over; the pipeline of those parts draws the same pictures
    from the same noise. Part by part, since diffusers 0.42 loads no whole UnCLIP folder, its own included.
    """
    bundle = trained["karlo"]
    out = export_bundle(bundle, "diffusers", tmp_path / "out")
    diffusers, transformers = library("diffusers"), library("transformers")
    projection = importlib.import_module(f"{UNCLIP}.text_proj").UnCLIPTextProjModel
    classes = {
        "decoder": diffusers.UNet2DConditionModel, "prior": diffusers.PriorTransformer,
        "super_res_first": diffusers.UNet2DModel, "super_res_last": diffusers.UNet2DModel,
        "text_proj": projection, "text_encoder": transformers.CLIPTextModelWithProjection,
    }  # fmt: skip
    parts: dict[str, Any] = {}
    for name, kind in classes.items():
        parts[name], left = kind.from_pretrained(out / name, output_loading_info=True)
        assert not any(left.values()), (name, left)
    for name in ("prior_scheduler", "decoder_scheduler", "super_res_scheduler"):
        parts[name] = diffusers.UnCLIPScheduler.from_pretrained(out / name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out / "tokenizer")
    theirs = precise(library(UNCLIP).UnCLIPPipeline(**parts, tokenizer=tokenizer))
    theirs.set_progress_bar_config(disable=True)
    unclip_noise(monkeypatch, [7, 8], side=16)
    want = theirs(
        PROMPT, num_images_per_prompt=2, decoder_num_inference_steps=4, decoder_guidance_scale=3.0,
        prior_num_inference_steps=3, prior_guidance_scale=2.0,
    ).images  # fmt: skip
    got = armchair.load(bundle.folder).generate(PROMPT, **DRAWN)
    for ours, other in zip(got, want, strict=True):
        assert torch.tensor(list(other.tobytes())).float().std() > 5 and apart(ours.image, other) <= 1
    rng = torch.Generator().manual_seed(1)
    decoder: Any = load_part(bundle, "decoder", torch.device("cpu"), torch.float32)
    config, x = decoder.config, torch.randn(2, 3, 16, 16, generator=rng)
    t, words = torch.tensor([3, 981]), torch.randn(2, 9, config.context_width, generator=rng)
    extra = torch.randn(2, config.unet.emb_width, generator=rng)
    keep = torch.arange(9)[None] < torch.tensor([[9], [6]])
    with torch.no_grad():
        mine = decoder(x, t, extra=extra, context=words, keep=keep)
        other = parts["decoder"](
            x, t, encoder_hidden_states=words, class_labels=extra, attention_mask=keep
        ).sample
    assert other.abs().max() > 0.05 and (mine - other).abs().max() < 1e-4
