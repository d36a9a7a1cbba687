"""CLIP in three forms as a bundle: the towers' numbers and the tokenizer's ids are the published ones'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.cli import main
from armchair.clip.config import VARIANTS, ClipConfig, TextConfig, ViTConfig
from armchair.clip.network import Clip
from armchair.clip.pipeline import ClipModel
from armchair.clip.text import tokens_of
from armchair.core.bundle import Bundle, verify
from armchair.core.config import from_json
from armchair.core.errors import ArmchairError, Unsupported
from armchair.core.packing import fill_module
from armchair.text.clip_bpe import ClipBPE
from armchair.text.tokenizer import load_tokenizer
from armchair.weights.importing.plan import Options
from armchair.weights.importing.run import import_weights
from armchair.weights.kinds import network_on_meta
from tests.weights.made import (
    VOCAB,
    State,
    clip_image,
    clip_state,
    clip_text,
    huggingface,
    merges_file,
    save_archive,
)

TEXTS = ["a cat", "the red cat's hat!!", "빨간 고양이 🐱", "", "cat " * 30]
VIT = {"vocab": VOCAB, "length": 9, "text": (64, 2), "embed": 24, "vit": (8, 4, 128, 2)}
WIDE = {"vocab": VOCAB, "length": 12, "text": (192, 1), "embed": 40, "vit": (7, 3, 64, 3)}
RESNET = {"vocab": VOCAB, "length": 9, "text": (64, 1), "embed": 24, "resnet": (4, (1, 2, 1, 1), 2)}
LARGE = {"vocab": VOCAB, "length": 9, "text": (128, 1), "embed": 16, "resnet": (6, (2, 1, 1, 2), 1)}
SHAPES = {"vit": VIT, "wide": WIDE, "resnet": RESNET, "large": LARGE}


def load(folder: Path) -> tuple[Clip, ClipBPE]:
    bundle = Bundle.open(folder)
    net = Clip(from_json(ClipConfig, bundle.config("clip"), "clip")).eval()
    fill_module(net, bundle.tensors("clip"), "clip")
    bpe = load_tokenizer(bundle.bytes("text"))
    assert isinstance(bpe, ClipBPE)
    return net, bpe


def compare(net: Clip, bpe: ClipBPE, state: State, quick: bool) -> None:
    """Both towers against the written-down ones, below 1e-4."""
    size = net.config.image_size
    image = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(5))
    tokens = torch.stack([tokens_of(bpe.encode(text), net.config.text) for text in TEXTS])
    with torch.no_grad():
        pairs: list[tuple[Tensor, Tensor]] = [(net.encode_image(image), clip_image(state, image, quick))]
        pairs += zip(net.encode_text(tokens), clip_text(state, tokens, quick), strict=True)
    for got, want in pairs:
        assert want.abs().max() > 0.1
        assert (got - want).abs().max() < 1e-4
    model = ClipModel(net, bpe)  # as people use it: other code for the same products
    for got, (_, want) in zip((model.image_emb(image), model.text_emb(TEXTS)), pairs, strict=False):
        assert (got - F.normalize(want, dim=-1)).abs().max() < 1e-4


def merges(folder: Path) -> Options:
    path = folder / "merges.gz"
    path.write_bytes(merges_file())
    return Options(merges=path)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("archive", [True, False])
def test_openais_files(tmp_path: Path, shape: str, archive: bool):
    """A TorchScript archive says what it is; a state dict needs to be told its activation. ViT and ResNet."""
    state = clip_state(**SHAPES[shape])
    path = tmp_path / "clip.pt"
    options = merges(tmp_path)
    if archive:
        numbers = {"input_resolution": 32, "context_length": 9, "vocab_size": VOCAB}
        save_archive({**state, **{name: torch.tensor(n) for name, n in numbers.items()}}, path)
    else:
        torch.save(state, path)
        options = Options(merges=options.merges, activation="gelu")
    bundle = import_weights(str(path), tmp_path / "clip", options=options)
    assert verify(bundle.folder) == []
    assert set(bundle.trained["imported"]["dropped"]) == (set(numbers) if archive else set())
    compare(*load(bundle.folder), state, quick=archive)


def hf_config(state: State, act: str) -> dict[str, Any]:
    """config.json as a CLIPModel writes it, from the shapes."""
    width, wide = state["text_projection"].shape[0], state["visual.proj"].shape[0]
    patch = state["visual.conv1.weight"].shape[-1]
    side = round((len(state["visual.positional_embedding"]) - 1) ** 0.5) * patch

    def tower(width: int, start: str) -> dict[str, Any]:
        depth = len([name for name in state if name.startswith(start) and name.endswith("ln_1.weight")])
        return {
            "hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64,
            "num_hidden_layers": depth, "hidden_act": act, "layer_norm_eps": 1e-5,
        }  # fmt: skip

    vocab, length = len(state["token_embedding.weight"]), len(state["positional_embedding"])
    return {
        "model_type": "clip",
        "projection_dim": state["text_projection"].shape[1],
        "text_config": {
            **tower(width, "transformer"), "vocab_size": vocab, "max_position_embeddings": length,
            "eos_token_id": vocab - 1,
        },
        "vision_config": {**tower(wide, "visual"), "image_size": side, "patch_size": patch},
    }  # fmt: skip


def save_hf(folder: Path, state: State, act: str = "quick_gelu", **changes: Any) -> Path:
    """A Hugging Face folder: config, weights, tokenizer, card."""
    folder.mkdir()
    config = hf_config(state, act)
    for name, value in changes.items():
        tower, _, key = name.partition("__")
        config[tower][key] = value
    vocab, pairs = ClipBPE.from_merges(merges_file(), VOCAB).files()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_bytes(vocab)
    (folder / "merges.txt").write_bytes(pairs)
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# A model\n")
    theirs = huggingface(state) | {"text_model.embeddings.position_ids": torch.arange(9)[None]}
    safetensors.torch.save_file(theirs, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(("shape", "act"), [("vit", "quick_gelu"), ("wide", "gelu")])
def test_hugging_face_folders(tmp_path: Path, shape: str, act: str):
    """Queries, keys and values apart, projections turned, its own names; licence and tokenizer come along."""
    state = clip_state(**SHAPES[shape])
    bundle = import_weights(str(save_hf(tmp_path / "hf", state, act)), tmp_path / "clip")
    assert bundle.manifest.licence == "mit"
    assert bundle.trained["imported"]["dropped"] == {
        "text_model.embeddings.position_ids": "positions count up from 0"
    }
    compare(*load(bundle.folder), state, quick=act == "quick_gelu")


def test_older_and_sharded_hugging_face_folders(tmp_path: Path):
    """pytorch_model.bin, an index over shards, and tokenizer.json in place of the two files."""
    state = clip_state(**VIT)
    theirs = huggingface(state)
    old = save_hf(tmp_path / "old", state)
    (old / "model.safetensors").unlink()
    torch.save(theirs, old / "pytorch_model.bin")
    (old / "tokenizer.json").write_bytes(ClipBPE.from_merges(merges_file(), VOCAB).save())
    (old / "vocab.json").unlink()
    compare(*load(import_weights(str(old), tmp_path / "a").folder), state, quick=True)

    sharded = save_hf(tmp_path / "sharded", state)
    (sharded / "model.safetensors").unlink()
    shards = {f"model-0000{i + 1}-of-00002.safetensors": list(theirs)[i::2] for i in range(2)}
    for name, keys in shards.items():
        safetensors.torch.save_file({key: theirs[key] for key in keys}, sharded / name)
    index = {key: name for name, keys in shards.items() for key in keys}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    compare(*load(import_weights(str(sharded), tmp_path / "b").folder), state, quick=True)
    (sharded / "model-00002-of-00002.safetensors").rename(sharded / "model-00002-of-00002.safetensors.part")
    with pytest.raises(ArmchairError, match="was not downloaded to the end"):
        import_weights(str(sharded), tmp_path / "c")


@pytest.mark.parametrize(("shape", "quick"), [("vit", True), ("resnet", False)])
def test_open_clip_folders(tmp_path: Path, shape: str, quick: bool):
    """open_clip_config.json says sizes and activation; a training checkpoint's wrapping comes off."""
    state, given = clip_state(**SHAPES[shape]), SHAPES[shape]
    folder = tmp_path / "open"
    folder.mkdir()
    vision: dict[str, Any] = (
        {"image_size": 32, "layers": given["vit"][3], "width": given["vit"][2], "patch_size": given["vit"][0]}
        if "vit" in given
        else {"image_size": 64, "layers": list(given["resnet"][1]), "width": given["resnet"][0]}
    )
    text = {"context_length": 9, "vocab_size": VOCAB, "width": 64, "heads": 1, "layers": given["text"][1]}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, "quick_gelu": quick}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    wrapped = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": {"state": {0: torch.ones(2)}}},
               folder / "open_clip_pytorch_model.bin")  # fmt: skip
    bundle = import_weights(str(folder), tmp_path / "clip", options=merges(tmp_path))
    assert bundle.trained["imported"]["dropped"] == {"optimizer.state.0": "state of the training run"}
    compare(*load(bundle.folder), state, quick)


def test_types_are_kept_and_changed(tmp_path: Path):
    """OpenAI's archives mix float16 and float32; each tensor keeps its own unless another is asked for."""
    state = clip_state(**VIT)
    mixed = {k: v.half() if k.endswith(("proj", "proj_weight")) else v for k, v in state.items()}
    safetensors.torch.save_file(mixed, tmp_path / "clip.safetensors")
    options = Options(merges=merges(tmp_path).merges, activation="quick_gelu")
    kept = import_weights(str(tmp_path / "clip.safetensors"), tmp_path / "kept", options=options)
    stored = safetensors.torch.load_file(kept.folder / "clip.safetensors")
    assert kept.home("clip")[2].storage == "mixed"
    assert stored["image.blocks.0.attention.qkv.weight"].dtype == torch.float16
    assert stored["text.token_embedding.weight"].dtype == torch.float32
    rounded = import_weights(
        str(tmp_path / "clip.safetensors"), tmp_path / "bf16", dtype="bf16", options=options
    )
    assert rounded.home("clip")[2].storage == "bfloat16"
    name = "visual.transformer.resblocks.0.mlp.c_fc.weight"
    assert torch.equal(rounded.tensors("clip")["image.blocks.0.mlp.0.weight"], state[name].bfloat16().float())
    large = {**state, "ln_final.weight": 1e5 * state["ln_final.weight"]}
    safetensors.torch.save_file(large, tmp_path / "clip.safetensors")
    with pytest.raises(ArmchairError, match="text.norm.weight has values that float16 cannot hold"):
        import_weights(str(tmp_path / "clip.safetensors"), tmp_path / "fp16", dtype="fp16", options=options)
    assert not (tmp_path / "fp16").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text_config__hidden_act": "relu", "vision_config__hidden_act": "relu"}, "activation 'relu'"),
        ({"vision_config__hidden_act": "gelu"}, "vision hidden_act 'gelu'; 'quick_gelu' is supported"),
        ({"vision_config__intermediate_size": 500}, "vision intermediate_size 500; 512 is supported"),
        ({"text_config__layer_norm_eps": 1e-6}, "text layer_norm_eps 1e-06"),
        ({"text_config__eos_token_id": 5}, "eos_token_id 5"),
        ({"vision_config__image_size": 33}, "image_size 33 is not a multiple of 8"),
    ],
)  # fmt: skip
def test_a_variant_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], words: str):
    """Not a crash, and above all not other numbers than the reference's."""
    folder = save_hf(tmp_path / "hf", clip_state(**VIT), **changes)
    with pytest.raises(Unsupported) as caught:
        import_weights(str(folder), tmp_path / "clip")
    assert words in str(caught.value)


def test_other_pixels_are_refused(tmp_path: Path):
    """A model that was trained on pixels between -1 and 1 would see other pictures here."""
    folder = save_hf(tmp_path / "hf", clip_state(**VIT))
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    with pytest.raises(Unsupported, match=r"mean \[0.5, 0.5, 0.5\]"):
        import_weights(str(folder), tmp_path / "clip")


def test_what_a_person_must_add(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The activation of a bare state dict and OpenAI's file of merges: the errors say what to give."""
    torch.save(clip_state(**VIT), tmp_path / "clip.pt")
    arguments = ["import", str(tmp_path / "clip.pt"), "--out", str(tmp_path / "clip")]
    assert main(arguments) == 2
    assert "--activation quick_gelu" in capsys.readouterr().err
    assert main([*arguments, "--activation", "quick_gelu"]) == 2
    assert "--merges FILE, bpe_simple_vocab_16e6.txt.gz" in capsys.readouterr().err
    merges(tmp_path)
    assert main([*arguments, "--activation", "swish"]) == 2
    assert "activation 'swish'" in capsys.readouterr().err
    assert main([*arguments, "--activation", "gelu", "--merges", str(tmp_path / "merges.gz")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'clip'}\n"
    assert "licence: unknown" in said.err


def test_a_tokenizer_of_another_size_is_refused(tmp_path: Path):
    """Ids beyond the embedding table would crash at the first prompt."""
    state = clip_state(**{**VIT, "vocab": VOCAB + 1})
    folder = save_hf(tmp_path / "hf", state)
    with pytest.raises(ArmchairError, match="tokenizer has 524 tokens, its text tower 525"):
        import_weights(str(folder), tmp_path / "clip")


@pytest.mark.parametrize("name", ["ViT-B/32", "ViT-L/14", "RN50", "RN50x4"])
def test_the_published_sizes(name: str):
    """Names and shapes of the real networks, on the meta device, against the written-down ones."""
    config = VARIANTS[name]
    image = config.image
    given: dict[str, Any] = {"vocab": 49_408, "length": 77, "text": (config.text.width, config.text.depth)}
    if isinstance(image, ViTConfig):
        given["vit"] = (image.patch, config.grid, image.width, image.depth)
    else:
        given["resnet"] = (image.width, image.layers, config.grid)
    from armchair.weights.importing.clip import openai_config, openai_table
    from armchair.weights.tables.keys import fit
    from tests.weights import made

    with torch.device("meta"):
        state = meta_state(made, {**given, "embed": config.embed})
    assert openai_config(state, "quick_gelu") == config
    fitted = fit(openai_table(config), state, network_on_meta(config).state_dict(), name)
    assert fitted.dropped == {}


def meta_state(made: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The same state dict without numbers."""
    from armchair.core.tensorfile import Lazy

    def read() -> Tensor:
        raise AssertionError("nothing is to be read")

    drawn, made.drawn = made.drawn, lambda shapes, seed: {n: torch.empty(s) for n, s in shapes.items()}
    try:
        state = clip_state(**given)
    finally:
        made.drawn = drawn
    return {name: Lazy(value.dtype, tuple(value.shape), read) for name, value in state.items()}


def test_text_config_is_read_from_shapes():
    """The number of blocks counts blocks, not keys."""
    from armchair.weights.importing.clip import openai_config

    config = openai_config(meta_state(__import__("tests.weights.made", fromlist=["x"]), WIDE), "gelu")
    assert config.text == TextConfig(vocab=VOCAB, length=12, width=192, depth=1)
    assert not config.quick_gelu
