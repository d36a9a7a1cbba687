"""The one reader of pickles: it finds the tensors of every file that torch writes, and a hostile file runs
nothing.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from armchair.weights.importing.pickled import READER, RefusedFile, pickled

TENSORS = {
    "weight": torch.randn(3, 4),
    "inner": {"half": torch.randn(5).half(), "turned": torch.randn(4, 3).t(), "list": [torch.arange(3)]},
    "parameter": torch.nn.Parameter(torch.randn(2)),
    "bf16": torch.randn(2, 2).bfloat16(),
    "flags": torch.tensor([True, False]),
    "empty": torch.empty(0, 3),
    "number": torch.tensor(7),
}
FLAT = {
    "weight": TENSORS["weight"],
    "inner.half": TENSORS["inner"]["half"],
    "inner.turned": TENSORS["inner"]["turned"],
    "inner.list.0": TENSORS["inner"]["list"][0],
    **{name: TENSORS[name] for name in ("parameter", "bf16", "flags", "empty", "number")},
}


class Part(torch.nn.Module):
    """A network with a parameter, a buffer and parts, as TorchScript archives and whole modules hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Conv2d(3, 2, 1))
        self.own = torch.nn.Parameter(torch.randn(3))
        self.register_buffer("resolution", torch.tensor(224))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0](x) + self.own.sum()


def check(path: Path, wanted: dict[str, torch.Tensor]) -> None:
    found = pickled(path)
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].read(), tensor.detach()), name


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_found(tmp_path: Path, zipped: bool):
    """Both formats, every type of number, views, transposed and empty tensors, dicts and lists."""
    torch.save(TENSORS, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    check(tmp_path / "a.pt", FLAT)


@pytest.mark.parametrize("zipped", [True, False])
def test_whole_modules_are_read_as_state_dicts(tmp_path: Path, zipped: bool):
    """OpenAI's dVAE came as pickled modules; only classes on the list pass, and none of them is made."""
    net = torch.nn.Sequential(OrderedDict(a=torch.nn.Linear(2, 2), b=torch.nn.ReLU()))
    torch.save(net, tmp_path / "a.pkl", _use_new_zipfile_serialization=zipped)
    check(tmp_path / "a.pkl", dict(net.state_dict()))


def test_torchscript_archives_are_read(tmp_path: Path):
    """OpenAI's CLIP came as one: its code is not looked at."""
    net = Part()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated
        torch.jit.script(net).save(str(tmp_path / "a.pt"))
    check(tmp_path / "a.pt", dict(net.state_dict()))


def test_the_oldest_format_is_read(tmp_path: Path):
    """A tar of three pickled streams with raw numbers between them, as torch wrote before its version 0.2."""
    numbers = torch.arange(6, dtype=torch.float32)

    def stored(obj: Any) -> bytes:
        return pickle.dumps(obj, protocol=2)

    storages = stored(1) + stored((11, "cpu", torch.FloatStorage)) + struct.pack("<q", 6)
    storages += numbers.numpy().tobytes() + stored([(12, 11, 2, 4)])  # 12 views 11 from its third number on
    tensors = stored(2)
    for key, storage, shape in ((1, 11, (2, 3)), (2, 12, (4,))):
        tensors += stored((key, storage, torch.FloatTensor)) + struct.pack("<i4x", len(shape))
        stride = (3, 1) if len(shape) == 2 else (1,)
        tensors += struct.pack(f"<{2 * len(shape) + 1}q", *shape, *stride, 0)

    class Pointing(pickle.Pickler):
        def persistent_id(self, obj: Any) -> int | None:
            return {"all": 1, "end": 2}.get(obj) if isinstance(obj, str) else None

    buffer = io.BytesIO()
    Pointing(buffer, protocol=2).dump(OrderedDict(w="all", v="end"))
    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        parts = {"storages": storages, "tensors": tensors, "pickle": buffer.getvalue()}
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    check(tmp_path / "a.pth", {"w": numbers.view(2, 3), "v": numbers[2:]})


# -- hostile files -----------------------------------------------------------------------------------------


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Callable[..., Any], *args: Any):
        self.call = function, args

    def __reduce__(self):
        return self.call


def zipped(data: bytes, entries: dict[str, bytes] | None = None, **options: Any) -> bytes:
    """A file in torch's zip format around a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in ({} if entries is None else entries).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def bomb(archive: bytes, size: int) -> bytes:
    """A zip whose directory says that its first entry has `size` bytes."""
    place = archive.index(b"PK\x01\x02") + 24
    return archive[:place] + struct.pack("<I", size) + archive[place + 4 :]


def named(module: str, name: str, argument: bytes) -> bytes:
    """A protocol-0 pickle that calls MODULE.NAME(argument), whether or not it can be imported here."""
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + argument + b"tR."


def tensor(storage: bytes, rest: bytes) -> bytes:
    """A pickle of one tensor over a storage."""
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"I00\nNtR."


STORAGE = b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ"
DATA = {"archive/data/0": bytes(16)}
LEGACY = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))


def hostile(marker: Path) -> dict[str, bytes]:
    """Files that would do something if they were unpickled as usual: each would leave `marker` behind, fill
    the memory, or read and write where it must not.
    """
    touch = f"touch {marker}"
    shell = pickle.dumps(Calls(os.system, touch), 2)
    text = pickle.dumps(Calls(eval, f"open({str(marker)!r}, 'w')"), 2)
    dotted = pickle.dumps("x", 4)[:-1] + b"0\x8c\x0bcollections\x8c\x1fOrderedDict.__init__.__globals__\x93."
    nested = b"(dp0\n" + b"S'a'\n(dp0\n" * 5000 + b"s" * 5000 + b"."
    deep = b"(l" * 200 + b"a" * 199 + b"."
    wide = b"(lp0\nI1\na" + b"".join(b"0(lp%d\n" % (i + 1) + b"g%d\na" % i * 10 for i in range(30)) + b"."
    cyclic = b"(lp0\ng0\na."
    script = {"archive/code/__torch__.py": f"import os\nos.system({touch!r})\n".encode()}
    return {
        "os.system": zipped(shell),
        "os.system in a stream": LEGACY + shell + pickle.dumps([], 2),
        "os.system as the magic number": shell,
        "os.system as the list of storages": LEGACY + pickle.dumps({}, 2) + shell,
        "eval": zipped(text),
        "exec": zipped(pickle.dumps(Calls(exec, f"open({str(marker)!r}, 'w')"), 2)),
        "subprocess": zipped(pickle.dumps(Calls(subprocess.Popen, ["touch", str(marker)]), 2)),
        "a builtin of Python 2": zipped(named("__builtin__", "eval", b"S'1'\n")),
        "getattr": zipped(named("builtins", "getattr", b"S'a'\nS'b'\n")),
        "a name with dots": zipped(dotted),
        "torch.load inside": zipped(named("torch", "load", f"S'{marker}'\n".encode())),
        "torch.hub": zipped(named("torch.hub", "load", b"S'evil/repo'\nS'net'\n")),
        "numpy's loader": zipped(named("numpy", "load", b"S'x'\n")),
        "an import hook": zipped(named("importlib", "import_module", b"S'antigravity'\n")),
        "an unknown class": zipped(named("models.yolo", "Detect", b"")),
        "an old-style instance": zipped(b"(S'true'\nios\nsystem\n."),
        "an extension code": zipped(b"\x80\x02\x82\x01."),
        "a module with its source": LEGACY
        + b"\x80\x02(X\x06\x00\x00\x00modulecos\nsystem\nX\x01\x00\x00\x00aX\x01\x00\x00\x00btQ.",
        "the network": zipped(named("socket", "create_connection", b"(S'127.0.0.1'\nI9\nt")),
        "a TorchScript archive with code": zipped(named("os", "system", b"S'true'\n"), script),
        "a memo of four billion": zipped(b"\x80\x02]r\xff\xff\xff\xffr\xff\xff\xff\xef."),
        "text of an exabyte": zipped(b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"x."),
        "ten to the thirtieth": zipped(wide),
        "lists without end": zipped(cyclic),
        "dicts in dicts": zipped(nested),
        "lists in lists": zipped(deep),
        "cut short": zipped(shell)[:40],
        "nothing": b"",
        "noise": os.urandom(1000),
        "an empty zip": zipped(b"", {})[-22:],
        "a zip bomb": bomb(zipped(b"\0" * 10**6, compression=zipfile.ZIP_DEFLATED), 2**30),
        "two main pickles": zipped(pickle.dumps({}, 2), {"other/data.pkl": b"N."}),
        "big-endian numbers": zipped(pickle.dumps({}, 2), {"archive/byteorder": b"big"}),
        "packed numbers": zipped(
            tensor(STORAGE, b"I0\n(I4\nt(I1\nt"), DATA, compression=zipfile.ZIP_DEFLATED
        ),
        "numbers that are missing": zipped(tensor(STORAGE, b"I0\n(I4\nt(I1\nt")),
        "numbers past the end": zipped(tensor(STORAGE, b"I0\n(I9\nt(I1\nt"), DATA),
        "an offset past the end": zipped(tensor(STORAGE, b"I3\n(I4\nt(I1\nt"), DATA),
        "an offset before the start": zipped(tensor(STORAGE, b"I-1\n(I4\nt(I1\nt"), DATA),
        "a negative stride": zipped(tensor(STORAGE, b"I3\n(I4\nt(I-1\nt"), DATA),
        "numbers repeated": zipped(tensor(STORAGE, b"I0\n(I1000000\nI1000000\nt(I0\nI0\nt"), DATA),
        "a size beyond all": zipped(tensor(STORAGE, b"I0\n(L999999999999999999999999L\nt(I1\nt"), DATA),
        "a tensor of no storage": zipped(tensor(b"S'x'\n", b"I0\n(I4\nt(I1\nt"), DATA),
        "a pointer to no storage": zipped(b"(S'file'\nS'/etc/passwd'\ntQ."),
    }  # fmt: skip


NAMES = list(hostile(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_runs_nothing(tmp_path: Path, name: str):
    """One clear line that names the file, and nothing happened; a file without tensors may also be empty."""
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pt"
    path.write_bytes(hostile(marker)[name])
    try:
        assert pickled(path) == {}
    except RefusedFile as error:
        assert str(path) in str(error) and "\n" not in str(error)
    assert sorted(other.name for other in tmp_path.iterdir()) == ["evil.pt"]


def test_the_corpus_is_hostile(tmp_path: Path):
    """A corpus that does nothing anywhere would prove nothing: the usual unpickler runs its first file."""
    files = hostile(tmp_path / "ran")
    with zipfile.ZipFile(io.BytesIO(files["os.system"])) as archive:
        pickle.loads(archive.read("archive/data.pkl"))
    assert (tmp_path / "ran").exists()
    for name in ("the network", "an old-style instance", "a memo of four billion", "lists without end"):
        with zipfile.ZipFile(io.BytesIO(files[name])) as archive:  # well-formed up to their last byte
            assert list(pickletools.genops(archive.read("archive/data.pkl")))[-1][0].name == "STOP"


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.socket()",
        "open('/etc/hostname')",
        "open('made', 'w')",
        "import os; os.fork() or os._exit(0)",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import ctypes",
        "exec('1')",
    ],
)
def test_the_process_has_no_rights(attempt: str, tmp_path: Path):
    """The second wall: were code to run all the same, it could open, start and reach nothing."""
    code = f"import runpy, sys; doors = runpy.run_path({str(READER)!r})['close_doors']; doors()\n"
    wall = f"{code}try:\n    {attempt}\nexcept BaseException as error:\n    sys.exit(7)\n"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", wall], capture_output=True, cwd=tmp_path)
    assert done.returncode == 7, done
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the system are those of Linux")
def test_the_system_keeps_it_in(tmp_path: Path):
    """The third wall, without Python's own: no descriptor is left for a socket or a file, and no memory."""
    code = (
        f"import runpy, sys, socket; doors = runpy.run_path({str(READER)!r})['close_doors']\n"
        "sys.addaudithook = lambda hook: None\ndoors()\n"
        "try:\n    socket.socket()\nexcept OSError as error:\n    assert error.errno == 24, error\n"
        "else:\n    sys.exit(1)\n"
        "try:\n    bytes(3 * 2**30)\nexcept MemoryError:\n    sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True)
    assert done.returncode == 7, done
