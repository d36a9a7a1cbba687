"""Out again: an exported folder comes back as the same bundle, and says what it cannot hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tokenizers import Tokenizer

from armchair.cli import main
from armchair.clip.config import ClipConfig, TextConfig, ViTConfig
from armchair.clip.network import Clip
from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.config import to_json
from armchair.core.errors import Unsupported
from armchair.text.bpe import BPE
from armchair.text.clip_bpe import ClipBPE
from armchair.text.tokenizer import load_tokenizer
from armchair.weights.importing.plan import Options
from armchair.weights.importing.run import import_weights
from tests.weights.made import VOCAB, clip_state, merges_file

CAPTIONS = [
    "a red apple",
    "Two cats on a chair",
    "빨간 사과",
    "의자 위의 고양이 두 마리",
    "a  RED\u00a0apple 🍎!",
]


def imported(folder: Path, **sizes: Any) -> Bundle:
    """A clip bundle with CLIP's tokenizer."""
    given = {"vocab": VOCAB, "length": 9, "text": (64, 1), "embed": 24, **sizes}
    torch.save(clip_state(**given), folder / "clip.pt")
    (folder / "merges.txt").write_bytes(merges_file())
    options = Options(merges=folder / "merges.txt", activation="gelu")
    return import_weights(str(folder / "clip.pt"), folder / "bundle", licence="mit", options=options)


def trained(folder: Path) -> Bundle:
    """A clip bundle as training leaves it: our own tokenizer, with fewer ids than the network has."""
    bpe = BPE.train(CAPTIONS * 2, 300)
    text = TextConfig(vocab=bpe.vocab + 5, length=24, width=64, depth=2)
    config = ClipConfig(image_size=16, embed=8, image=ViTConfig(patch=8, width=64, depth=1), text=text)
    torch.manual_seed(0)
    parts = {
        "clip": Component(config=to_json(config), tensors=Clip(config).state_dict(), storage="float32"),
        "text": Component(config={"vocab": bpe.vocab}, file=bpe.save(), storage="file"),
    }
    return save_bundle(folder / "own", kind="clip", name="own", components=parts, languages=["en", "ko"],
                       licence="Apache-2.0", trained={"samples_seen": 5}, scores={})  # fmt: skip


def test_a_round_trip_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Out as Hugging Face's folder and in again: every number, the config, the ids, the licence."""
    bundle = imported(tmp_path, vit=(8, 4, 128, 2))
    out = tmp_path / "hf"
    assert main(["export", str(bundle.folder), "--format", "hf-clip", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    back = import_weights(str(out), tmp_path / "back")
    assert back.config("clip") == bundle.config("clip")
    before, after = bundle.tensors("clip"), back.tensors("clip")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert back.bytes("text") == bundle.bytes("text")
    assert back.manifest.licence == "mit"


def test_our_own_tokenizer_goes_along(tmp_path: Path):
    """As a tokenizer.json that gives the same ids, start and end included."""
    bundle = trained(tmp_path)
    assert main(["export", str(bundle.folder), "--format", "hf-clip", "--out", str(tmp_path / "hf")]) == 0
    tokenizer = Tokenizer.from_file(str(tmp_path / "hf" / "tokenizer.json"))
    bpe, config = load_tokenizer(bundle.bytes("text")), bundle.config("clip")["text"]
    for caption in CAPTIONS:
        want = [config["vocab"] - 2, *bpe.encode(caption), config["vocab"] - 1]
        assert tokenizer.encode(caption).ids == want
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "license: Apache-2.0" in card and "- ko" in card
    back = import_weights(str(tmp_path / "hf"), tmp_path / "back")
    assert back.bytes("text") == bundle.bytes("text") and back.config("clip") == bundle.config("clip")
    path = tmp_path / "hf" / "tokenizer.json"
    path.write_text(path.read_text().replace('"NFC"', '"NFKC"'))
    with pytest.raises(Unsupported, match="neither CLIP's kind of tokenizer nor ours"):
        import_weights(str(tmp_path / "hf"), tmp_path / "again")


def test_plain_tensors(tmp_path: Path):
    """Any bundle in our own names, in the precision that is asked for; opaque files as they are."""
    bundle = imported(tmp_path, resnet=(4, (1, 1, 1, 1), 2))
    out = tmp_path / "plain"
    arguments = [
        "export",
        str(bundle.folder),
        "--format",
        "safetensors",
        "--out",
        str(out),
        "--dtype",
        "bf16",
    ]
    assert main(arguments) == 0
    found = safetensors.torch.load_file(out / "clip.safetensors")
    for name, value in bundle.tensors("clip").items():
        same = value.bfloat16() if value.is_floating_point() else value
        assert torch.equal(found[name], same)
    assert json.loads((out / "clip.json").read_text()) == bundle.config("clip")
    assert isinstance(load_tokenizer((out / "text.json").read_bytes()), ClipBPE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "hf-clip"], "has a ResNet as image tower"),
        (["--format", "onnx"], "format 'onnx' is not one of diffusers, hf-clip, safetensors"),
        (["--format", "safetensors", "--dtype", "int4"], "dtype 'int4' is not one of float32"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
):
    """One line, and no folder is left."""
    bundle = imported(tmp_path, resnet=(4, (1, 1, 1, 1), 2))
    before = {path.name for path in tmp_path.iterdir()}
    assert main(["export", str(bundle.folder), *arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_bundle_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A dVAE is no CLIP: the error names the formats that hold it."""
    parts = {"dvae": Component(config={}, tensors={"w": torch.ones(2)}, storage="float32")}
    save_bundle(tmp_path / "a", kind="dvae", name="a", components=parts, languages=[], licence="MIT",
                trained={}, scores={})  # fmt: skip
    assert main(["export", str(tmp_path / "a"), "--format", "hf-clip", "--out", str(tmp_path / "b")]) == 2
    assert "hf-clip holds clip bundles, a is of kind dvae: --format safetensors" in capsys.readouterr().err
