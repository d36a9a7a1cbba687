"""safetensors files one tensor at a time, read and written: each way against the library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from armchair.core import tensorfile
from armchair.core.bundle import Component, Streamed, save_bundle, verify
from armchair.core.errors import BundleError
from armchair.core.files import sha256
from armchair.core.tensorfile import Lazy, Mapped, TensorFileError, lazy, write

TENSORS = {
    "w": torch.randn(3, 5),
    "half": torch.randn(4).half(),
    "bf16": torch.randn(2, 2).bfloat16(),
    "steps": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "none": torch.empty(0, 3),
}


def as_lazy(tensors: dict[str, torch.Tensor]) -> dict[str, Lazy]:
    return {name: Lazy(v.dtype, tuple(v.shape), lambda v=v: v) for name, v in tensors.items()}


def same(found: dict[str, torch.Tensor]) -> bool:
    return set(found) == set(TENSORS) and all(
        found[name].dtype == value.dtype and torch.equal(found[name], value)
        for name, value in TENSORS.items()
    )


def test_the_library_reads_what_is_written(tmp_path: Path):
    """Sizes and hash are those of the file on the disk."""
    size, digest = write(tmp_path / "a.safetensors", as_lazy(TENSORS))
    assert same(safetensors.torch.load_file(tmp_path / "a.safetensors"))
    assert (size, digest) == ((tmp_path / "a.safetensors").stat().st_size, sha256(tmp_path / "a.safetensors"))


def test_what_the_library_writes_is_read(tmp_path: Path):
    """One by one and mapped; what is written to a mapped tensor does not reach the file."""
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(TENSORS, path, {"format": "pt"})
    assert same({name: tensor.read() for name, tensor in lazy(path).items()})
    area = Mapped(path)
    assert area.sha256() == sha256(path)
    found = area.tensors()
    assert same(found)
    found["w"].zero_()
    assert same(safetensors.torch.load_file(path))
    assert not found["w"].any()


HEADER = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


def file(header: bytes, data: bytes = bytes(8), length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x08\0\0", "header is not whole"),
        (file(HEADER, length=2**60), "header is not whole"),
        (file(HEADER)[:30], "header is not whole"),
        (file(b"[1, 2]"), "cannot be read"),
        (file(b"{nonsense"), "cannot be read"),
        (file(b"\xff\xfe"), "cannot be read"),
        (file(HEADER.replace(b"F32", b"F33")), "cannot be read ('F33')"),
        (file(HEADER.replace(b"[2]", b"[3]")), "shape [3] does not fill bytes 0..8"),
        (file(HEADER.replace(b"[2]", b"[-2]")), "cannot be read"),
        (file(HEADER.replace(b"[2]", b"[2.0]")), "cannot be read"),
        (file(HEADER.replace(b"[0,8]", b"[8,0]")), "cannot be read"),
        (file(HEADER, bytes(7)), "a ends at byte 70, the file at 69"),
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, content: bytes, words: str):
    """One line that names the file, never numbers from elsewhere in memory."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (lambda: lazy(path) if content else Mapped(path), lambda: Mapped(path).tensors()):
        with pytest.raises(TensorFileError) as caught:
            read()
        assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path):
    """Its header was whole when it was opened."""
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(TENSORS, path)
    found = lazy(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TensorFileError, match="was cut short while it was read"):
        for tensor in found.values():
            tensor.read()


def test_a_streamed_component_is_a_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each tensor in its own type, over several files, hashed like any other."""
    monkeypatch.setattr("armchair.core.packing.stream.__defaults__", (40,))
    parts = {"net": Streamed(config={"width": 3}, tensors=as_lazy(TENSORS))}
    bundle = save_bundle(tmp_path / "b", kind="toy", name="b", components=parts, languages=[], licence="MIT",
                         trained={}, scores={})  # fmt: skip
    assert bundle.home("net")[2].storage == "mixed"
    assert len(bundle.home("net")[2].files) > 1
    assert verify(bundle.folder) == []
    found = bundle.tensors("net")
    assert found["half"].dtype == torch.float32 and torch.equal(found["half"], TENSORS["half"].float())
    assert bundle.tensors("net", torch.bfloat16)["w"].dtype == torch.bfloat16
    path = bundle.folder / bundle.home("net")[2].files[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="is damaged"):
        bundle.tensors("net")


PEAK = """
import ctypes, json, sys, torch
from armchair.core.bundle import Bundle

def kib(name):
    return next(int(row.split()[1]) for row in open("/proc/self/status") if row.startswith(name))

def load(folder, dtype):
    tensors = Bundle.open(folder).tensors("net", getattr(torch, dtype))
    pages = [value.view(-1)[::512] for value in tensors.values()]  # a number of each page, 2 KiB apart
    return all(bool((page == 0.5).all()) for page in pages)

for folder, dtype in json.loads(sys.argv[1]):
    load(folder, dtype)  # what it imports and keeps is no part of the numbers
    ctypes.CDLL(None).malloc_trim(0)
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts at what there is now
    before = kib("VmRSS")
    right = load(folder, dtype)
    print(json.dumps([kib("VmHWM") - before, right]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_loading_needs_little_more_than_the_numbers(tmp_path: Path):
    """The peak of a process that loads 48 MiB and reads every number: below 1.2 times what it ends with.
    A copy on the way, of the file or of the numbers, would make it 2 times.
    """
    size = 48 * 2**20
    cases = [("float32", "float32", 1.0), ("bfloat16", "bfloat16", 1.0), ("float16", "bfloat16", 1.0),
             ("float16", "float32", 2.0)]  # fmt: skip
    for stored in ("float32", "bfloat16", "float16"):
        dtype = getattr(torch, stored)
        part = torch.full((size // 12 // dtype.itemsize,), 0.5, dtype=dtype)
        component = Component(config={}, tensors={str(i): part for i in range(12)}, storage=stored)
        save_bundle(tmp_path / stored, kind="toy", name="b", components={"net": component}, languages=[],
                    licence="MIT", trained={}, scores={})  # fmt: skip
    asked = json.dumps([[str(tmp_path / stored), wanted] for stored, wanted, _ in cases])
    done = subprocess.run([sys.executable, "-c", PEAK, asked], capture_output=True, text=True, check=True)
    peaks = [json.loads(line) for line in done.stdout.splitlines()]
    for (_, _, times), (grown, right) in zip(cases, peaks, strict=True):
        assert right
        assert grown * 1024 < 1.2 * times * size


def test_identity_sees_a_replaced_file(tmp_path: Path):
    """By inode, size or time."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    before = tensorfile.identity(path)
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "b").replace(path)
    assert tensorfile.identity(path) != before
