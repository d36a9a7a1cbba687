"""Everything that can be wrong with a source is one clear line, and leaves no half-written bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch

from armchair.cli import main
from armchair.core.bundle import Bundle
from armchair.core.errors import ArmchairError, BadInput, MissingDependency
from armchair.core.files import sha256
from armchair.weights.importing import hub
from armchair.weights.importing.run import import_weights
from armchair.weights.importing.source import open_source
from tests.weights.made import Decoder, Encoder

REVISION = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


def dvae(folder: Path) -> Path:
    """A dVAE's two halves, as state dicts."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    for name, half in (("encoder", Encoder(8, 9, 2, 1)), ("decoder", Decoder(8, 9, 2, 1, 5))):
        safetensors.torch.save_file(half.state_dict(), folder / f"{name}.safetensors")
    return folder


def refused(source: Path | str, out: Path, *words: str, **options: Any) -> None:
    """The import fails with one line that has these words, and leaves nothing beside the source."""
    before = {path.name for path in out.parent.iterdir()}
    with pytest.raises(ArmchairError) as caught:
        import_weights(str(source), out, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert {path.name for path in out.parent.iterdir()} == before


def test_an_unknown_folder_says_what_was_looked_for(tmp_path: Path):
    """And what is there instead."""
    (tmp_path / "a").mkdir()
    refused(tmp_path / "a", tmp_path / "out", "it is empty", "encoder.pkl and decoder.pkl (OpenAI's dVAE)")
    (tmp_path / "a" / "notes.txt").write_text("x")
    refused(tmp_path / "a", tmp_path / "out", "it has notes.txt", "open_clip_config.json")
    refused(tmp_path / "b", tmp_path / "out", "no such file or folder")


@pytest.mark.parametrize(
    ("file", "said", "words"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, "'StableDiffusionXLPipeline'"),
        ("config.json", {"_class_name": "VQModel"}, "'VQModel'"),
        ("config.json", {"model_type": "siglip"}, "'siglip'"),
    ],
)
def test_another_model_is_named(tmp_path: Path, file: str, said: dict[str, Any], words: str):
    """With what is supported; a folder that says nothing of itself is another matter."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / file).write_text(json.dumps(said))
    supported = "model_index.json of a StableDiffusionPipeline"
    refused(tmp_path / "a", tmp_path / "out", f"a model {words}, which is not supported", supported)


def test_a_bundle_is_no_source(tmp_path: Path):
    """It is what an import makes."""
    import_weights(str(dvae(tmp_path / "dvae")), tmp_path / "bundle")
    refused(tmp_path / "bundle", tmp_path / "out", "is a bundle already: --model takes it")


def test_half_of_a_model_is_refused(tmp_path: Path):
    """One of two files; a file that is still being downloaded; a pointer in place of a file; a cut file."""
    folder = dvae(tmp_path / "dvae")
    path = folder / "decoder.safetensors"
    whole = path.read_bytes()
    part = path.rename(folder / "decoder.safetensors.incomplete")
    unfinished = "decoder.safetensors.incomplete was not downloaded to the end"
    refused(folder, tmp_path / "out", "there is no decoder.pkl", unfinished)
    refused(part, tmp_path / "out", "no known format", unfinished)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    refused(folder, tmp_path / "out", "Git LFS pointer", "git lfs pull")
    path.write_bytes(whole[:-50])
    refused(folder, tmp_path / "out", "is cut short")
    path.write_bytes(b"not at all")
    refused(folder, tmp_path / "out", "is no safetensors file")


def test_an_occupied_folder_is_left_alone(tmp_path: Path):
    """Before anything is read or fetched."""
    folder = dvae(tmp_path / "dvae")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    refused(folder, tmp_path / "out", "exists already")
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_a_lock_file_is_written_then_kept(tmp_path: Path):
    """The first import notes the hashes; the next one with other files is refused."""
    folder, lock = dvae(tmp_path / "dvae"), tmp_path / "lock.json"
    import_weights(str(folder), tmp_path / "a", lock=lock)
    hashes = {path.name: sha256(path) for path in folder.iterdir()}
    assert json.loads(lock.read_text()) == hashes
    import_weights(str(folder), tmp_path / "b", lock=lock)
    lock.write_text(json.dumps({**hashes, "decoder.safetensors": "0" * 64}))
    refused(folder, tmp_path / "out", "decoder.safetensors has sha256", "the lock file says 0000", lock=lock)
    del hashes["encoder.safetensors"]
    lock.write_text(json.dumps(hashes))
    refused(folder, tmp_path / "out", "the lock file says nothing of it", lock=lock)
    lock.write_text("[]")
    refused(folder, tmp_path / "out", "no object of sha256", lock=lock)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Replaced between its hash and its numbers: the bundle would hold what nobody hashed."""
    folder = dvae(tmp_path / "dvae")
    source = open_source(str(folder))
    tensors = source.tensors("encoder.safetensors")
    name = "blocks.input.b"
    assert tensors[name].read().shape == (8,)
    other = tmp_path / "other"
    other.write_bytes((folder / "encoder.safetensors").read_bytes())
    other.replace(folder / "encoder.safetensors")
    with pytest.raises(BadInput, match="changed while it was read"):
        tensors[name].read()


def test_licences(tmp_path: Path):
    """A person's word, else the card's, else the licence file's first line, else what is published."""
    folder = dvae(tmp_path / "dvae")
    assert "MIT" in import_weights(str(folder), tmp_path / "a").manifest.licence
    (folder / "LICENSE").write_text("\n  Some Licence 1.0\n\ntext")
    assert import_weights(str(folder), tmp_path / "b").manifest.licence == "Some Licence 1.0"
    (folder / "README.md").write_text('---\ntags:\n- x\nlicense: "openrail"\n---\n')
    assert import_weights(str(folder), tmp_path / "c").manifest.licence == "openrail"
    assert import_weights(str(folder), tmp_path / "d", licence="mine").manifest.licence == "mine"


# -- the hub -----------------------------------------------------------------------------------------------


def cached(cache: Path, files: dict[str, bytes], *, large: str) -> Path:
    """A repository in the hub's cache: blobs under their hashes, a snapshot of links, a branch."""
    home = cache / "models--owner--name"
    snapshot = home / "snapshots" / REVISION
    for folder in (home / "blobs", snapshot, home / "refs"):
        folder.mkdir(parents=True)
    (home / "refs" / "main").write_text(REVISION)
    for name, data in files.items():
        blob = home / "blobs" / ("1" * 40)
        if name == large:  # large files lie under their sha256
            (home / "blobs" / "x").write_bytes(data)
            blob = home / "blobs" / sha256(home / "blobs" / "x")
        blob.write_bytes(data)
        (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """owner/name in a cache of its own."""
    pytest.importorskip("huggingface_hub", reason="the extra hub")
    folder = dvae(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("ARMCHAIR_CACHE", str(tmp_path / "cache"))
    return cached(tmp_path / "hub", files, large="encoder.safetensors")


def test_a_pinned_repository_is_imported_offline(repository: Path, tmp_path: Path):
    """From the cache alone; the revision and the hashes are in the bundle, and in a lock file."""
    bundle = import_weights(f"hub:owner/name@{REVISION}", tmp_path / "out", offline=True)
    origin = bundle.trained["imported"]
    assert (origin["source"], origin["revision"]) == ("hub:owner/name", REVISION)
    lock = json.loads(hub.lock_file("owner/name", REVISION).read_text())
    assert lock == origin["files"] == {path.name: sha256(path) for path in repository.iterdir()}


def test_a_changed_file_of_the_cache_is_refused(repository: Path, tmp_path: Path):
    """By the hash that the hub gave for a large file, and by the lock of the first import for the others."""
    import_weights(f"hub:owner/name@{REVISION}", tmp_path / "a", offline=True)
    small = (repository / "decoder.safetensors").resolve()
    data = small.read_bytes()
    small.write_bytes(data[:-1] + b"x")
    refused(f"hub:owner/name@{REVISION}", tmp_path / "b", "the lock file says", offline=True)
    small.write_bytes(data)
    large = (repository / "encoder.safetensors").resolve()
    large.write_bytes(large.read_bytes()[:-1] + b"x")
    refused(f"hub:owner/name@{REVISION}", tmp_path / "b", "the hub says", offline=True)


@pytest.mark.parametrize(
    "name", ["hub:owner/name", "hub:owner/name@main", "hub:owner/name@v1", "hub:owner/name@"]
)
def test_a_branch_is_refused(repository: Path, tmp_path: Path, name: str):
    """The same command would bring other weights tomorrow; where the branch stands is known, it is said."""
    known = not name.endswith("v1") and not name.endswith("@")
    words = f"pin hub:owner/name@{REVISION}" if known else "pin its revision, 40 hex digits"
    refused(name, tmp_path / "out", "may move", words, offline=True)


def test_where_a_branch_stands_is_looked_up_first(repository: Path):
    """In a process that imported nothing else of the hub's library: its constants do not come with the
    package, and every branch ended in an AttributeError.
    """
    code = "from armchair.weights.importing.hub import parse; parse('hub:owner/name@main', True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"pin hub:owner/name@{REVISION}" in done.stderr


def test_what_is_not_in_the_cache(repository: Path, tmp_path: Path):
    """Offline, another revision or another repository is not fetched."""
    refused(f"hub:owner/name@{OTHER}", tmp_path / "out", "not in the hub's cache", "offline", offline=True)
    refused(f"hub:owner/none@{OTHER}", tmp_path / "out", "not in the hub's cache", offline=True)
    refused("hub:owner", tmp_path / "out", "is not hub:owner/name@revision", offline=True)


def test_without_a_network_the_cache_is_enough(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A pinned revision that is there needs no server; the client's own error for a server that cannot be
    reached, which is no OSError, once ended the import as unexpected.
    """
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: SimpleNamespace(model_info=unreachable))
    bundle = import_weights(f"hub:owner/name@{REVISION}", tmp_path / "a")
    assert bundle.trained["imported"]["revision"] == REVISION
    refused(
        f"hub:owner/name@{OTHER}", tmp_path / "out", "not in the hub's cache", "cannot be fetched: no way"
    )


def unreachable(*_: Any, **__: Any) -> None:
    """What the hub's client raises below its own errors."""
    from huggingface_hub import errors

    raise errors.HfHubHTTPError.__bases__[0]("no way")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("GatedRepoError", "accept it at https://huggingface.co/owner/name"),
        ("RepositoryNotFoundError", "the hub has no owner/name"),
        ("RevisionNotFoundError", f"owner/name has no revision {REVISION}"),
        ("LocalEntryNotFoundError", "it cannot be fetched"),
    ],
)
def test_what_the_hub_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, words: str):
    """A licence that asks for acceptance, a wrong name, a wrong revision, no network."""
    pytest.importorskip("huggingface_hub", reason="the extra hub")
    from huggingface_hub import errors

    kind = getattr(errors, error)

    def fail(*_: Any, **__: Any) -> None:
        raise kind.__new__(kind, "no") if "Local" in error else kind("no", response=response())

    client = SimpleNamespace(
        HfApi=lambda: SimpleNamespace(model_info=fail),
        snapshot_download=fail,
        constants=SimpleNamespace(HF_HUB_OFFLINE=False, HF_HUB_CACHE=str(tmp_path / "hub")),
    )
    monkeypatch.setattr(hub, "_hub", lambda: client)
    refused(f"hub:owner/name@{REVISION}", tmp_path / "out", words)


def test_a_download_that_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The server is there, and goes away between two files."""
    pytest.importorskip("huggingface_hub", reason="the extra hub")
    client = SimpleNamespace(
        HfApi=lambda: SimpleNamespace(model_info=lambda *_, **__: SimpleNamespace(siblings=[])),
        snapshot_download=unreachable,
        constants=SimpleNamespace(HF_HUB_OFFLINE=False, HF_HUB_CACHE=str(tmp_path / "hub")),
    )
    monkeypatch.setattr(hub, "_hub", lambda: client)
    refused(f"hub:owner/name@{REVISION}", tmp_path / "out", "it cannot be fetched: no way")


def response() -> Any:
    """What the client's errors are made of."""
    request = SimpleNamespace(url="https://huggingface.co/x", method="GET")
    return SimpleNamespace(
        headers={}, status_code=403, request=request, url=request.url, text="", content=b""
    )


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The message names it."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependency, match=r"armchair\[hub\]"):
        import_weights(f"hub:owner/name@{REVISION}", tmp_path / "out")


def test_mistakes_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One line on stderr and exit 2."""
    folder = dvae(tmp_path / "dvae")
    for arguments, words in (
        ([str(folder), "--dtype", "bf61"], "dtype 'bf61' is not one of keep"),
        ([str(folder), "--activation", "gelu"], "--activation gelu says nothing about OpenAI's dVAE"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["hub:a"], "is not hub:owner/name@revision"),
    ):
        assert main(["import", *arguments, "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and said.out == ""


PEAK = """
import ctypes, json, sys
from armchair.weights.importing.run import import_weights

def kib(name):
    return next(int(row.split()[1]) for row in open("/proc/self/status") if row.startswith(name))

import_weights(sys.argv[1], sys.argv[3])
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
before = kib("VmRSS")
import_weights(sys.argv[2], sys.argv[4])
print(kib("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_importing_needs_one_tensor_at_a_time(tmp_path: Path):
    """The peak of an import is a part of the file, though it is read, hashed, fitted and written."""
    small = dvae(tmp_path / "small")
    large = tmp_path / "large"
    large.mkdir()
    torch.manual_seed(0)
    torch.save(Encoder(64, 64, 4, 1).state_dict(), large / "encoder.pt")
    torch.save(Decoder(64, 64, 4, 1, 8).state_dict(), large / "decoder.pt")
    size = sum(path.stat().st_size for path in large.iterdir())
    places = [small, large, tmp_path / "a", tmp_path / "b"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, places)], capture_output=True, text=True, check=True
    )
    assert size > 9 * 2**20
    assert int(done.stdout) * 1024 < 0.8 * size
    assert Bundle.open(tmp_path / "b").kind == "dvae"
