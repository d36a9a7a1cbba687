"""`armchair serve` as a person starts it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from armchair.cli import main
from armchair.cli.serve import read_settings
from armchair.core.errors import BadInput
from tests.serve.running import Running, opened

FAKE = {"studio": "tests.serve.fake", "codecs": 1, "page": False}


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address. Nobody reads what it logs after that."""
    command = [sys.executable, "-m", "armchair", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = found(process.stderr)
            Running.until(lambda: httpx.get(f"{address}/readyz", trust_env=False).status_code == 200, 60)
            yield process, address
        finally:
            process.kill()


def found(lines: IO[str]) -> str:
    for line in lines:
        match = re.search(r"Armchair is at (http://\S+)/v1", line)
        if match is not None:
            return match[1]
    raise AssertionError("it never said where it is")


def config(folder: Path, **settings: Any) -> str:
    (folder / "serve.json").write_text(json.dumps({**FAKE, **settings}), encoding="utf-8")
    return str(folder / "serve.json")


def test_it_says_where_it_is_and_leaves_when_told(tmp_path: Path):
    """SIGTERM: status 0, no process left behind, no folder of results either."""
    with serving("--config", config(tmp_path)) as (process, address):
        body = {"prompt": "a cat", "size": "256x256"}
        url = httpx.post(f"{address}/v1/images/generations", json=body, trust_env=False).json()["data"][0][
            "url"
        ]
        assert httpx.get(url, trust_env=False).status_code == 200
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def test_nobody_reads_its_log(tmp_path: Path):
    """A pipe that is full must not stop it: it goes on serving, and stops when told."""
    with serving("--config", config(tmp_path)) as (process, address):
        with httpx.Client(base_url=address, trust_env=False) as client:
            for _ in range(600):  # a log line each, four times what a pipe holds
                assert client.get("/" + "x" * 200).status_code == 404
            assert client.get("/livez").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_worker_does_not_outlive_a_killed_server(tmp_path: Path):
    """SIGKILL of the server itself: what it started sees its pipes end, and goes."""
    with serving("--config", config(tmp_path)) as (process, _):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait(10)
        Running.until(lambda: not [pid for pid in children if running_process(pid)])


def running_process(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "no API key is set"),
        (["--port", "99999"], "port 99999"),
        (["--api-key", "short"], "8 or more printable"),
        (["--models", "nobody"], "unknown model 'nobody'"),
        (["--models", "text"], "does not draw by itself"),
        (["--alias", "dall-e-2"], "NAME=BUNDLES"),
        (["--config", "missing.json"], "missing.json"),
    ],
)
def test_mistakes_are_said_before_it_starts(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
):
    """One line, and exit status 2."""
    assert main(["serve", *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert words in said.err


def test_flags_go_over_the_file_and_aliases_add_up(tmp_path: Path):
    """The file is for what stays, flags for today."""
    path = Path(config(tmp_path, port=1234, batch=3, aliases={"dall-e-3": ["mine"]}))
    settings = read_settings(path, {"port": 0, "keys": ["sk-0123456789"]}, ["house=a, b", "gpt-image-1="])
    assert (settings.port, settings.batch, settings.keys) == (0, 3, ("sk-0123456789",))
    assert settings.aliases["dall-e-3"] == ("mine",)
    assert settings.aliases["house"] == ("a", "b")
    assert settings.aliases["dall-e-2"] == ("dalle2", "dalle1")
    assert "gpt-image-1" not in settings.aliases
    with pytest.raises(BadInput, match="Did you mean 'batch'"):
        read_settings(Path(config(tmp_path, bach=3)), {}, [])


def test_the_front_stays_small():
    """It imports neither torch nor anything that trains: the worker's trouble stays the worker's."""
    code = (
        "import sys, armchair.serve.server\n"
        "heavy = {'torch', 'numpy', 'PIL', 'armchair.train', 'armchair.dalle1', 'armchair.artist'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_shipped_bundle_draws_over_http():
    """The whole way, nothing scripted: the picture is the one that `load().generate` draws."""
    import armchair

    with serving("--models", "dalle1", "--device", "cpu") as (_, address):
        body = {"prompt": "a red apple", "model": "dalle1", "seed": 1, "response_format": "b64_json"}
        reply = httpx.post(f"{address}/v1/images/generations", json=body, trust_env=False, timeout=120)
        served = opened(base64.b64decode(reply.json()["data"][0]["b64_json"]))
        streamed = httpx.post(
            f"{address}/v1/images/generations",
            json={"prompt": "a red apple", "stream": True, "partial_images": 3, "size": "256x256"},
            trust_env=False,
            timeout=120,
        ).text
        refused = httpx.post(
            f"{address}/v1/images/variations", files={"image": base64.b64decode(TINY)}, trust_env=False
        ).json()["error"]
    drawn = armchair.load("dalle1", device="cpu").generate("a red apple", seed=1)[0].image
    assert served.tobytes() == drawn.tobytes()
    assert streamed.count("event: image_generation.partial_image") == 3
    assert streamed.count("event: image_generation.completed") == 1
    assert refused["code"] == "unsupported_operation"


TINY = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
