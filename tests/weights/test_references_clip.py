"""CLIP against transformers and open_clip themselves: built tiny and random, saved as they save, imported."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.config import VARIANTS, ClipConfig, ViTConfig
from armchair.clip.network import Clip
from armchair.clip.pipeline import ClipModel
from armchair.clip.text import tokens_of
from armchair.core.bundle import Bundle
from armchair.core.config import from_json
from armchair.core.packing import fill_module
from armchair.core.tensorfile import Lazy
from armchair.text.clip_bpe import ClipBPE
from armchair.text.tokenizer import load_tokenizer
from armchair.weights.count import shapes_of
from armchair.weights.exporting.run import export_bundle
from armchair.weights.importing.clip import hf_config, open_clip_config
from armchair.weights.importing.plan import Options
from armchair.weights.importing.run import import_weights
from armchair.weights.kinds import network_on_meta
from armchair.weights.tables import clip as tables
from armchair.weights.tables.keys import fit
from tests.weights.made import VOCAB, merges_file

pytestmark = [pytest.mark.references, pytest.mark.filterwarnings("ignore")]
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXTS = [
    "a photo of a cat", "빨간 사과를 든 곰인형이 스케이트보드를 탄다", "🍎 and 👩\u200d👩\u200d👧 🇰🇷!!",
    "  odd\u00a0 spaces\u3000here\n", "it's 2021, we've 3.5 kg", "ㅋㅋㅋ... snake_case", "", "a " * 100,
]  # fmt: skip


def library(name: str) -> Any:
    return importlib.import_module(name)


def load(folder: Path) -> tuple[Clip, ClipModel]:
    bundle = Bundle.open(folder)
    net = Clip(from_json(ClipConfig, bundle.config("clip"), "clip")).eval()
    fill_module(net, bundle.tensors("clip"), "clip")
    return net, ClipModel.from_bundle(bundle, torch.device("cpu"), torch.float32)


def picture(size: int) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(5))


def normalised(image: Tensor) -> Tensor:
    return (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def stir(net: Any) -> Any:
    """Random numbers everywhere, biases, gains and statistics too, which start at 0 and 1."""
    torch.manual_seed(3)
    for name, value in net.state_dict().items():
        if value.is_floating_point() and value.ndim:
            value += 0.1 * torch.randn_like(value)
            if name.endswith("running_var"):
                value.abs_()
    return net.eval()


def hf(folder: Path, text: dict[str, Any], vision: dict[str, Any], embed: int) -> Any:
    """A transformers CLIPModel and its tokenizer, saved as they save themselves."""
    transformers = library("transformers")
    special = {"bos_token_id": VOCAB - 2, "eos_token_id": VOCAB - 1, "pad_token_id": VOCAB - 1}
    config = transformers.CLIPConfig(
        text_config={"vocab_size": VOCAB, **special, **text}, vision_config=vision, projection_dim=embed
    )
    net = stir(transformers.CLIPModel(config))
    net.save_pretrained(folder)
    files = folder.parent / "tokenizer"
    files.mkdir()
    for name, data in zip(("vocab.json", "merges.txt"), ClipBPE.from_merges(merges_file(), VOCAB).files(),
                          strict=True):  # fmt: skip
        (files / name).write_bytes(data)
    transformers.CLIPTokenizer.from_pretrained(files).save_pretrained(folder)
    return net


def tower(width: int, depth: int, act: str, head: int = 64) -> dict[str, Any]:
    return {
        "hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // head,
        "num_hidden_layers": depth, "hidden_act": act,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "vision", "embed", "act"),  # width, depth, length, head; width, depth, patch, size, head
    [
        ((64, 2, 9, 64), (128, 2, 8, 32, 64), 24, "quick_gelu"),
        ((192, 1, 77, 64), (64, 3, 7, 21, 64), 40, "gelu"),
        ((36, 3, 16, 12), (160, 1, 16, 16, 80), 8, "quick_gelu"),
    ],
)
def test_transformers(tmp_path: Path, text: Any, vision: Any, embed: int, act: str):
    """Both towers below 1e-4, the sequence of the text's states, the similarity, and every id."""
    transformers = library("transformers")
    net = hf(
        tmp_path / "hf",
        {**tower(text[0], text[1], act, text[3]), "max_position_embeddings": text[2]},
        {**tower(vision[0], vision[1], act, vision[4]), "patch_size": vision[2], "image_size": vision[3]},
        embed,
    )
    import_weights(str(tmp_path / "hf"), tmp_path / "clip")
    ours, model = load(tmp_path / "clip")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tmp_path / "hf")
    for text_ in TEXTS:
        ids = tokenizer(text_, truncation=True, max_length=text[2])["input_ids"]
        assert model.tokens([text_])[0, : len(ids)].tolist() == ids
    tokens, image = model.tokens(TEXTS), picture(vision[3])
    with torch.no_grad():
        out = net(input_ids=tokens, pixel_values=normalised(image))
        text_emb, text_seq = ours.encode_text(tokens)
        pairs = [
            (F.normalize(ours.encode_image(image), dim=-1), out.image_embeds),
            (F.normalize(text_emb, dim=-1), out.text_embeds),
            (text_seq, out.text_model_output.last_hidden_state),
            (model.image_emb(image), out.image_embeds),
            (model.text_emb(TEXTS), out.text_embeds),
            (model.score(image, TEXTS) * ours.scale, out.logits_per_image),
        ]
    for got, want in pairs:
        assert (got - want).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("vision", "text", "quick"),
    [
        ({"image_size": 32, "layers": 2, "width": 128, "patch_size": 8}, (64, 1), True),
        ({"image_size": 28, "layers": 1, "width": 192, "patch_size": 14}, (128, 2), False),
        (
            {"image_size": 28, "layers": 2, "width": 160, "patch_size": 14, "head_width": 80},
            (96, 2, 2),
            False,
        ),
        ({"image_size": 64, "layers": [1, 2, 1, 1], "width": 4}, (64, 1), True),
        ({"image_size": 32, "layers": [2, 1, 1, 2], "width": 6}, (64, 2), False),
    ],
)
def test_open_clip(tmp_path: Path, open_clip: Any, vision: dict[str, Any], text: Any, quick: bool):
    """ViT and ResNet, both activations, as a folder of the hub and as a bare state dict."""
    config = {
        "embed_dim": 24,
        "vision_cfg": vision,
        "text_cfg": {
            "context_length": 9, "vocab_size": VOCAB, "width": text[0], "layers": text[1],
            "heads": text[2] if len(text) > 2 else text[0] // 64,
        },
        "quick_gelu": quick,
    }  # fmt: skip
    net = stir(open_clip.model.CLIP(**config))
    folder = tmp_path / "hub"
    folder.mkdir()
    torch.save(net.state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": MEAN, "std": STD}})
    )
    merges = tmp_path / "merges.gz"
    merges.write_bytes(merges_file())
    import_weights(str(folder), tmp_path / "a", options=Options(merges=merges))
    if len(text) == 2:  # heads of width 64, which a state dict alone is taken to have
        bare = Options(merges=merges, activation="quick_gelu" if quick else "gelu")
        import_weights(str(folder / "open_clip_pytorch_model.bin"), tmp_path / "b", options=bare)
    image = picture(vision["image_size"])
    for name in ("a", "b") if len(text) == 2 else ("a",):
        ours, model = load(tmp_path / name)
        tokens = model.tokens(TEXTS)
        with torch.no_grad():
            pairs = [
                (ours.encode_image(image), net.encode_image(normalised(image))),
                (ours.encode_text(tokens)[0], net.encode_text(tokens)),
            ]
        for got, want in pairs:
            assert (got - want).abs().max() < 1e-4


def corpus() -> list[str]:
    """The texts, and lines of mixed scripts, emoji and spaces."""
    rng = torch.Generator().manual_seed(1)
    letters = [*map(chr, range(33, 127)), *"àéîõüßñçøåабвгд日本語中文ひらがなカタカナ½²Ⅷ٣"]
    letters += [*"가나다라마바사아자차카타파하각힣ㄱㅎㅏ", *"🍎🐱🚗🎨👩🏽\u200d🚀🇰🇷❤️✨"]
    letters += [" ", " ", "  ", "\t", "\u00a0", "\u2003", "\u3000", "'s", "'ll"]
    lines = []
    for _ in range(400):
        picks = torch.randint(len(letters), (12,), generator=rng).tolist()
        lines.append("".join(letters[i] for i in picks))
    return [*TEXTS[:-1], *lines]


def test_the_published_tokenizer(tmp_path: Path, open_clip: Any):
    """All 49,408 tokens of the released merges, which open_clip ships, id for id in both libraries."""
    transformers = library("transformers")
    file = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    bpe = ClipBPE.from_merges(file.read_bytes())
    assert isinstance(load_tokenizer(bpe.save()), ClipBPE)
    reference = open_clip.tokenizer.SimpleTokenizer(str(file))
    for name, data in zip(("vocab.json", "merges.txt"), bpe.files(), strict=True):
        (tmp_path / name).write_bytes(data)
    other = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    for text in corpus():
        ids = bpe.encode(text)
        assert ids == reference.encode(text), text
        assert ids == other(text)["input_ids"][1:-1], text
        row = tokens_of(ids, ClipConfig().text)
        assert torch.equal(row, reference([text])[0])


@pytest.mark.parametrize("name", ["ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336"])
def test_transformers_at_the_published_sizes(name: str):
    """Names, shapes and counts of the real networks, without memory for them."""
    transformers = library("transformers")
    config = VARIANTS[name]
    assert isinstance(config.image, ViTConfig)
    vision = {**tower(config.image.width, config.image.depth, "quick_gelu"), "image_size": config.image_size}
    theirs = transformers.CLIPConfig(
        text_config=tower(config.text.width, config.text.depth, "quick_gelu"),
        vision_config={**vision, "patch_size": config.image.patch},
        projection_dim=config.embed,
    )
    assert hf_config(theirs.to_dict()) == config
    with torch.device("meta"):
        state = transformers.CLIPModel(theirs).state_dict()
    fitted(state, config, tables.HUGGING_FACE)


@pytest.mark.parametrize("name", ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-L/14"])
def test_open_clip_at_the_published_sizes(open_clip: Any, name: str):
    """Its own table of configurations, without memory for the networks."""
    data = open_clip.get_model_config(name.replace("/", "-") + "-quickgelu") or open_clip.get_model_config(
        name.replace("/", "-")
    )
    config = open_clip_config({**data, "quick_gelu": True})
    assert config == VARIANTS[name]
    with torch.device("meta"):
        state = open_clip.model.CLIP(**{**data, "quick_gelu": True}).state_dict()
    fitted(state, config, tables.OPENAI_VIT if name.startswith("V") else tables.OPENAI_RESNET)


COUNTS = {  # SPEC of the released networks
    "RN50": 102_007_137, "RN101": 119_688_033, "RN50x4": 178_300_601, "RN50x16": 290_979_217,
    "RN50x64": 623_258_305, "ViT-B/32": 151_277_313, "ViT-B/16": 149_620_737, "ViT-L/14": 427_616_513,
    "ViT-L/14@336": 427_944_193,
}  # fmt: skip


def fitted(state: dict[str, Tensor], config: ClipConfig, table: Any) -> None:
    """Every key maps, every parameter is filled, and there are as many as were published."""

    def read() -> Tensor:
        raise AssertionError("nothing is to be read")

    source = {name: Lazy(value.dtype, tuple(value.shape), read) for name, value in state.items()}
    net = network_on_meta(config)
    assert fit(table, source, net.state_dict(), "the reference").tensors.keys() == net.state_dict().keys()
    name = next(name for name, variant in VARIANTS.items() if variant == config)
    assert sum(torch.Size(shape).numel() for _, shape in shapes_of(net)) == COUNTS[name]


def test_transformers_load_what_is_exported(tmp_path: Path):
    """Our own trained bundle, with our own tokenizer, gives the same numbers there."""
    from tests.weights.test_export import CAPTIONS, trained

    bundle = trained(tmp_path)
    export_bundle(bundle, "hf-clip", tmp_path / "hf")
    transformers = library("transformers")
    net = transformers.CLIPModel.from_pretrained(tmp_path / "hf").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    ours, model = load(bundle.folder)
    image = picture(16)
    with torch.no_grad():
        batch = tokenizer(CAPTIONS, padding=True, return_tensors="pt")
        out = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                  pixel_values=normalised(image))  # fmt: skip
        pairs = [
            (model.image_emb(image), out.image_embeds),
            (model.text_emb(CAPTIONS), out.text_embeds),
            (model.score(image, CAPTIONS) * ours.scale, out.logits_per_image),
        ]
    for got, want in pairs:
        assert (got - want).abs().max() < 1e-4
