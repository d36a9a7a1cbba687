"""A bundle either loads exactly or says which file and field is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

from armchair.core import packing
from armchair.core.bundle import Bundle, Component, save_bundle, verify
from armchair.core.errors import BadInput, BundleError

WEIGHTS = {
    "conv.weight": torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    * torch.logspace(-3, 2, 6)[:, None, None, None],
    "conv.bias": torch.linspace(-1, 1, 6),
    "steps": torch.tensor([3, 4]),
}


def save(folder: Path, **changes: Any) -> Bundle:
    components = {
        "net": Component(config={"width": 6, "kinds": ("a", "b")}, tensors=WEIGHTS, storage="int8"),
        "bpe": Component(config={"vocab": 9}, file=b'{"merges": []}'),
    }
    values: dict[str, Any] = {
        "kind": "toy", "name": "toy", "components": components, "languages": ["en"], "licence": "Apache-2.0",
        "trained": {"samples_seen": 5}, "scores": {},
        "golden": ("a red apple", 1, Image.new("RGB", (8, 8), "red")),
    }  # fmt: skip
    return save_bundle(folder, **{**values, **changes})


def edit(folder: Path, change: Any) -> None:
    path = folder / "bundle.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_round_trip(tmp_path: Path):
    """What was saved comes back: configs, opaque files, golden picture, and tensors to the storage's
    precision.
    """
    bundle = save(tmp_path / "b")
    assert bundle == Bundle.open(tmp_path / "b")
    assert bundle.config("net") == {"width": 6, "kinds": ["a", "b"]}
    assert bundle.bytes("bpe") == b'{"merges": []}'
    tensors = bundle.tensors("net")
    assert set(tensors) == set(WEIGHTS)
    assert torch.equal(tensors["steps"], WEIGHTS["steps"])
    assert tensors["conv.bias"].dtype == torch.float32
    assert torch.allclose(tensors["conv.bias"], WEIGHTS["conv.bias"], atol=1e-3)
    golden = bundle.golden()
    assert golden is not None
    assert golden.getpixel((0, 0)) == (255, 0, 0)
    assert verify(tmp_path / "b") == []


def test_int8_error_is_half_a_step_per_channel():
    """Per output channel: a channel a thousand times smaller keeps its relative precision."""
    back = packing.unpack(packing.pack(WEIGHTS, "int8"))["conv.weight"]
    error = (back - WEIGHTS["conv.weight"]).flatten(1).abs().amax(1)
    step = WEIGHTS["conv.weight"].flatten(1).abs().amax(1) / 127
    assert (error <= 0.56 * step).all()  # half a step, and the scale's own rounding to float16
    zeros = packing.unpack(packing.pack({"w": torch.zeros(2, 3)}, "int8"))["w"]
    assert torch.equal(zeros, torch.zeros(2, 3))


@pytest.mark.parametrize("shape", [(8, 3), (5, 2, 3, 3), (1, 7), (4, 0)])
def test_int6_takes_three_bytes_for_four_weights(shape: tuple[int, ...]):
    """Also where the channels are no multiple of four; what comes back is the nearest of 63 values."""
    weight = torch.randn(shape)
    packed = packing.pack({"w": weight, "b": torch.ones(3)}, "int6")
    assert packed["w"].dtype == torch.uint8 and len(packed["w"]) == 3 * -(-len(weight) // 4)
    back = packing.unpack(packed)
    assert set(back) == {"w", "b"} and back["w"].shape == weight.shape
    largest = weight.flatten(1).abs().amax(1, keepdim=True) if weight.numel() else torch.zeros(len(weight), 1)
    assert ((back["w"] - weight).flatten(1).abs() <= 0.52 * largest / 31).all()
    assert torch.equal(packing.rounded(weight, "int6"), back["w"])
    assert torch.equal(packing.rounded(back["w"], "int6"), back["w"]), "rounding twice is rounding once"


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
def test_storages(tmp_path: Path, storage: str):
    """Every storage reads back as float32, rounded once."""
    save(tmp_path / "b", components={"net": Component(config={}, tensors=WEIGHTS, storage=storage)})
    want = WEIGHTS["conv.weight"].to(getattr(torch, storage)).float()
    assert torch.equal(Bundle.open(tmp_path / "b").tensors("net")["conv.weight"], want)


def test_values_that_do_not_fit_are_refused(tmp_path: Path):
    """float16 turns 1e6 into infinity; a bundle of infinities must not be made."""
    component = Component(config={}, tensors={"w": torch.tensor([1e6])}, storage="float16")
    with pytest.raises(BundleError, match="w has values that float16 cannot hold"):
        save(tmp_path / "b", components={"net": component})
    with pytest.raises(BadInput, match="storage 'int4'"):
        save(tmp_path / "b", components={"net": Component(config={}, tensors={}, storage="int4")})
    assert list(tmp_path.iterdir()) == []


def test_shards(monkeypatch: pytest.MonkeyPatch):
    """A large component is cut into numbered files, each a whole safetensors file, scales beside their
    weights.
    """
    packed = packing.pack({f"w{i}": torch.randn(10, 100) for i in range(5)}, "int8")
    files = packing.shards("net", packed, limit=2500)
    assert list(files) == ["net-1-of-3.safetensors", "net-2-of-3.safetensors", "net-3-of-3.safetensors"]
    parts = [safetensors.torch.load(data) for data in files.values()]
    assert all(len(data) < 3000 for data in files.values())
    for part in parts:
        assert {key + ".scale" for key in part if not key.endswith(".scale")} < set(part)
    assert set().union(*parts) == set(packed)


def test_a_sharded_component_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Through the whole path, with the limit made small."""
    monkeypatch.setattr(packing.shards, "__defaults__", (100,))
    bundle = save(tmp_path / "b")
    assert (tmp_path / "b" / "net-1-of-3.safetensors").exists()
    assert set(bundle.tensors("net")) == set(WEIGHTS)


def test_a_flipped_bit_names_the_file(tmp_path: Path):
    """safetensors has no checksum of its own."""
    bundle = save(tmp_path / "b")
    path = tmp_path / "b" / "net.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"net\.safetensors is damaged: component net has sha256"):
        bundle.tensors("net")
    assert len(verify(tmp_path / "b")) == 1


def test_missing_and_short_files(tmp_path: Path):
    """An interrupted copy of a bundle."""
    bundle = save(tmp_path / "b")
    path = tmp_path / "b" / "net.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BundleError, match="cut short"):
        bundle.tensors("net")
    path.unlink()
    (tmp_path / "b" / "golden.png").unlink()
    assert [p.split("/")[-1] for p in verify(tmp_path / "b")] == [
        "net.safetensors is missing",
        "golden.png is missing",
    ]


def test_a_missing_tensor_is_named(tmp_path: Path):
    """A file whose hash is right and whose contents are not what bundle.json lists."""
    bundle = save(
        tmp_path / "b", components={"net": Component(config={}, tensors=WEIGHTS, storage="float32")}
    )
    data = safetensors.torch.save({k: v for k, v in WEIGHTS.items() if k != "conv.bias"})
    (tmp_path / "b" / "net.safetensors").write_bytes(data)
    import hashlib

    def change(manifest: dict[str, Any]) -> None:
        file = manifest["components"]["net"]["files"][0]
        file.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    edit(tmp_path / "b", change)
    bundle = Bundle.open(tmp_path / "b")
    with pytest.raises(BundleError, match=r"component net: tensor conv\.bias is missing"):
        bundle.tensors("net")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format=99), "format 99 is newer"),
        (lambda d: d.update(format=0), "format 0 is unknown"),
        (lambda d: d.pop("format"), "field format is None"),
        (lambda d: d.update(colour=1), "unknown field 'colour'"),
        (lambda d: d.pop("kind"), r"bundle\.json\.kind: missing"),
        (
            lambda d: d["components"]["net"].update(storrage=1),
            "components.net: unknown field 'storrage'.*storage",
        ),
        (lambda d: d["components"]["net"]["files"][0].update(bytes="9"), r"components\.net\.files\.0\.bytes"),
        (lambda d: d["components"]["net"]["files"][0].update(path="../x"), "outside the bundle"),
    ],
)
def test_a_wrong_manifest_names_the_field(tmp_path: Path, change: Any, words: str):
    """Every difference is named: file and field."""
    save(tmp_path / "b")
    edit(tmp_path / "b", change)
    with pytest.raises(BundleError, match=words) as caught:
        Bundle.open(tmp_path / "b")
    assert str(tmp_path / "b" / "bundle.json") in str(caught.value)


def test_truncated_json_and_no_bundle(tmp_path: Path):
    """A bundle.json that was cut, and a folder that is none."""
    save(tmp_path / "b")
    path = tmp_path / "b" / "bundle.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError, match="damaged or cut short"):
        Bundle.open(tmp_path / "b")
    with pytest.raises(BundleError, match=r"no such file; a bundle is a folder"):
        Bundle.open(tmp_path)


def test_old_formats_are_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The mechanism, before there is a second format: a named function a step."""
    from armchair.core import bundle as module

    save(tmp_path / "b")
    edit(tmp_path / "b", lambda d: (d.update(format=0), d.update(type=d.pop("kind"))))

    def from_0(data: dict[str, Any]) -> dict[str, Any]:
        data = dict(data)
        return {**data, "format": 1, "kind": data.pop("type")} if data.pop("type", None) is None else {
            **{k: v for k, v in data.items() if k != "type"}, "format": 1, "kind": "toy",
        }  # fmt: skip

    monkeypatch.setitem(module.MIGRATIONS, 0, from_0)
    assert Bundle.open(tmp_path / "b").kind == "toy"


def test_shared_components(tmp_path: Path):
    """What several systems use is stored once, and a changed original is noticed."""
    text = save(tmp_path / "alphabet", name="alphabet")
    other = save(tmp_path / "sys", name="sys", components={"bpe": text.share("bpe")})
    assert other.bytes("bpe") == text.bytes("bpe")
    assert other.config("bpe") == {"vocab": 9}
    assert verify(tmp_path / "sys") == []
    save(
        tmp_path / "alphabet",
        name="alphabet",
        replace=True,
        components={"bpe": Component(config={}, file=b"{}")},
    )
    with pytest.raises(BundleError, match=r"component bpe needs alphabet/bpe"):
        other.bytes("bpe")
    (tmp_path / "alphabet").rename(tmp_path / "moved")
    with pytest.raises(BundleError, match="neither beside it nor among the shipped"):
        other.bytes("bpe")


def test_fill_module_is_strict():
    """A network takes its tensors exactly, or the first difference is named."""
    net = torch.nn.Linear(2, 3)
    good = {k: v.clone() for k, v in net.state_dict().items()}
    packing.fill_module(net, good, "b: net")
    with pytest.raises(BundleError, match="b: net: tensor bias is missing"):
        packing.fill_module(net, {"weight": good["weight"]}, "b: net")
    with pytest.raises(BundleError, match="tensor more has no place"):
        packing.fill_module(net, {**good, "more": good["bias"]}, "b: net")
    with pytest.raises(BundleError, match=r"weight is \[3\], the config says \[3, 2\]"):
        packing.fill_module(net, {**good, "weight": good["bias"]}, "b: net")


def test_unknown_component(tmp_path: Path):
    """A pipeline that asks for what a bundle has not."""
    with pytest.raises(BundleError, match="no component 'nett'.*Did you mean 'net'"):
        save(tmp_path / "b").tensors("nett")


def test_tied_weights_are_stored():
    """Two names for one tensor: safetensors alone refuses shared memory."""
    weight = torch.ones(2, 2)
    files = packing.shards("net", packing.pack({"a": weight, "b": weight}, "float32"))
    assert set(safetensors.torch.load(files["net.safetensors"])) == {"a", "b"}
