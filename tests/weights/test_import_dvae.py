"""OpenAI's dVAE as a bundle: the same numbers out, whatever file it came in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

from armchair.cli import main
from armchair.core.bundle import Bundle, verify
from armchair.core.config import from_json
from armchair.core.packing import fill_module
from armchair.dalle1.config import DVAEConfig, TransformerConfig
from armchair.dalle1.dvae import DVAE, map_pixels
from armchair.dalle1.task import TransformerTaskConfig
from armchair.weights.count import shapes_of
from armchair.weights.importing.run import import_weights
from armchair.weights.kinds import network_on_meta
from armchair.weights.tables.keys import Unfit
from tests.weights.made import Decoder, Encoder, published_names

SIZES = [(16, 24, 3, 2, 8), (8, 9, 2, 1, 5), (12, 17, 4, 1, 3)]  # width, vocab, groups, blocks, code width


def modules(width: int, vocab: int, groups: int, blocks: int, code: int) -> tuple[Encoder, Decoder]:
    torch.manual_seed(width)
    return Encoder(width, vocab, groups, blocks), Decoder(width, vocab, groups, blocks, code)


def save(folder: Path, halves: tuple[nn.Module, nn.Module], form: str) -> Path:
    folder.mkdir()
    for name, half in zip(("encoder", "decoder"), halves, strict=True):
        if form == "safetensors":
            safetensors.torch.save_file(half.state_dict(), folder / f"{name}.safetensors")
        elif form == "state dict":
            torch.save(half.state_dict(), folder / f"{name}.pt")
        else:
            with published_names():
                zipped = form == "module"
                torch.save(half, folder / f"{name}.pkl", _use_new_zipfile_serialization=zipped)
    return folder


def load(folder: Path) -> DVAE:
    bundle = Bundle.open(folder)
    net = DVAE(from_json(DVAEConfig, bundle.config("dvae"), "dvae"))
    fill_module(net, bundle.tensors("dvae"), "dvae")
    return net


@pytest.mark.parametrize(
    ("size", "form"),
    [
        (SIZES[0], "module"),
        (SIZES[1], "module in a stream"),
        (SIZES[2], "state dict"),
        (SIZES[0], "safetensors"),
    ],
)
def test_it_computes_what_the_published_modules_do(tmp_path: Path, size: tuple[int, ...], form: str):
    """Logits, both of the decoder's outputs, codes and the reconstruction, over several sizes and files."""
    encoder, decoder = modules(*size)
    import_weights(str(save(tmp_path / "source", (encoder, decoder), form)), tmp_path / "dvae")
    assert verify(tmp_path / "dvae") == []
    net = load(tmp_path / "dvae")
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = encoder(map_pixels(image))
        assert (net.encoder(map_pixels(image)) - logits).abs().max() < 1e-4
        codes = logits.argmax(1)
        assert torch.equal(net.encode(image), codes)
        out = decoder(F.one_hot(codes, size[1]).permute(0, 3, 1, 2).float())
        for got, want in zip(net.decoder.lookup(codes), out.chunk(2, 1), strict=True):
            assert (got - want).abs().max() < 1e-4
        pixels = ((out[:, :3].sigmoid() - 0.1) / 0.8).clamp(0, 1)
        assert (net.decode(codes) - pixels).abs().max() < 1e-4


def test_a_transformer_trains_on_it(tmp_path: Path):
    """`armchair train ... --using dvae=DIR` takes the bundle: its vocabulary and grid are the network's."""
    import_weights(str(save(tmp_path / "source", modules(*SIZES[0]), "module")), tmp_path / "dvae")
    config = TransformerTaskConfig(net=TransformerConfig(width=16, depth=1, heads=2, text_length=4))
    task = config.build({"dvae": Bundle.open(tmp_path / "dvae")}, None)
    assert (task.net.config.image_vocab, task.net.config.grid) == (24, 64)


def test_the_command_tells_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The folder on stdout, origin and hashes in bundle.json, and `inspect` reads it."""
    folder = save(tmp_path / "dall-e", modules(*SIZES[1]), "module")
    assert main(["import", str(folder), "--out", str(tmp_path / "dvae"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "dvae" and "MIT" in told["licence"]
    origin = Bundle.open(tmp_path / "dvae").trained["imported"]
    assert origin["source"] == "dall-e" and set(origin["files"]) == {"encoder.pkl", "decoder.pkl"}
    assert str(tmp_path) not in (tmp_path / "dvae" / "bundle.json").read_text()
    assert main(["inspect", str(tmp_path / "dvae")]) == 0
    assert "OpenAI's dVAE" in capsys.readouterr().out


def test_half_precision_keeps_the_codes_close(tmp_path: Path):
    """--dtype fp16 halves the file; what is stored is the rounded number."""
    folder = save(tmp_path / "source", modules(*SIZES[0]), "module")
    whole = import_weights(str(folder), tmp_path / "whole")
    half = import_weights(str(folder), tmp_path / "half", dtype="fp16")
    assert half.home("dvae")[2].storage == "float16"
    for name, value in whole.tensors("dvae").items():
        assert torch.equal(half.tensors("dvae")[name], value.half().float())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s.pop("blocks.group_1.block_1.res_path.conv_2.b"),
            "a value: encoder.blocks.group_1.block_1",
        ),
        (lambda s: s.update({"blocks.more.w": torch.zeros(1)}), "without a place: encoder.blocks.more.w"),
        (lambda s: s.update({"blocks.input.b": torch.zeros(3)}), "[3], encoder.blocks.input.bias needs [8]"),
        (lambda s: s.pop("blocks.input.w"), "there is no encoder.blocks.input.w"),
        (lambda s: s.update({"blocks.input.w": torch.zeros(6, 3, 7, 7)}), "width 6 is not a multiple of 4"),
    ],
)
def test_what_does_not_fit_is_listed_and_nothing_is_left(tmp_path: Path, change, words: str):
    """Strict both ways: an unknown key, a parameter without a value, a shape."""
    encoder, decoder = modules(*SIZES[1])
    state = encoder.state_dict()
    change(state)
    folder = save(tmp_path / "source", (encoder, decoder), "state dict")
    torch.save(state, folder / "encoder.pt")
    with pytest.raises(Unfit) as caught:
        import_weights(str(folder), tmp_path / "dvae")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "dvae").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_the_released_size():
    """53,786,240 and 43,829,766 parameters in all (SPEC of the released weights), without memory for them."""
    net = network_on_meta(DVAEConfig())
    count = {half: sum(torch.Size(s).numel() for n, s in shapes_of(net) if n.startswith(half)) for half in
             ("encoder", "decoder")}  # fmt: skip
    assert count == {"encoder": 53_786_240, "decoder": 43_829_766}
    with torch.device("meta"):
        halves = Encoder(256, 8192, 4, 2), Decoder(256, 8192, 4, 2, 128)
    theirs = {
        f"{half}.{name}": tuple(value.shape)
        for half, module in zip(("encoder", "decoder"), halves, strict=True)
        for name, value in module.state_dict().items()
    }
    ours = {
        name.replace(".weight", ".w").replace(".bias", ".b"): tuple(shape) for name, shape in shapes_of(net)
    }
    assert ours == theirs
