"""The official clients, unmodified: those of the DALL·E years and those of today, against a loose server and
a strict one. Each lies in a folder of its own, `.venv/clients/NAME`, which the first run fills.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.serve.running import opened, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KEY = "sk-client-matrix-01"
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLIENTS = Path(sys.prefix) / "clients"
VERSIONS = {
    "openai-0.28.1": ["openai==0.28.1"],
    "openai-1.0.0": ["openai==1.0.0", "httpx<0.28"],  # a later httpx has dropped an argument that it passes
    "openai-1.109.1": ["openai==1.109.1"],
    "openai-2": ["openai>=2,<3"],
    "openai-3": ["openai>=3,<4"],
}
PLAIN = {"generations", "edits", "variations", "models", "errors", "async"}


def installed(name: str) -> Path:
    folder = CLIENTS / name
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--target", str(folder), *VERSIONS[name]], check=True)
    return folder


def check(command: list[str], expected: set[str], **environment: str) -> None:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["done"]) == expected


@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
@pytest.mark.parametrize("name", VERSIONS)
def test_python_clients(name: str, strict: bool):
    """Drawing, editing, varying, models, errors as the right classes, sync, async; from 1.0 on with strict
    response validation as well, and streams where the client has them.
    """
    folder = installed(name)
    streams = {"streams"} if name in {"openai-1.109.1", "openai-2", "openai-3"} else set[str]()
    script = [sys.executable, str(HERE / "client_calls.py")]
    with running(keys=(KEY,), strict=strict) as server:
        mode = "strict" if strict else "loose"
        check([*script, server.base, KEY, mode], PLAIN | streams, PYTHONPATH=str(folder))


@pytest.mark.parametrize("page", ["README.md", "docs/serving.md"])
def test_the_lines_that_the_documentation_shows(page: str):
    """As they stand, but for the server's address: what they print is a picture of the size asked for."""
    found = re.findall(r"^```text\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = next(block for block in found if "import OpenAI" in block)
    with running() as server:
        code = lines.replace("http://127.0.0.1:8000", server.base)
        assert code != lines
        environment = {**os.environ, "PYTHONPATH": str(installed("openai-3"))}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        reply = httpx.get(done.stdout.strip(), trust_env=False)
    assert opened(reply.content).size == (256, 256)


def test_the_node_client():
    """The other official one."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here")
    folder = CLIENTS / "node"
    if not folder.exists():
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), "openai@6"], check=True)
    script = folder / "client_calls.mjs"  # modules are looked for beside the file
    script.write_text((HERE / "client_calls.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    with running(keys=(KEY,)) as server:
        check(["node", str(script), server.base, KEY], PLAIN - {"async"} | {"streams"})
