"""Descriptions of the API against the server itself, by a tool that tries what descriptions forget: the one
that we serve, and OpenAI's own of January 2025 and August 2026 (`published/`: paths and types of its Images
API, from github.com/openai/openai-openapi, MIT licence).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.running import Running, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CLIENTS = Path(sys.prefix) / "clients"
PUBLISHED = Path(__file__).parent / "published"
KEY = "sk-description-01"
# what a model takes depends on the model: data that fit a description may still be refused
ALL = ["--exclude-checks", "positive_data_acceptance"]
# OpenAI describes no errors and no key: what is left is that nothing breaks and that answers are as described
SOUND = ["--checks", "not_a_server_error,response_schema_conformance"]


def check(server: Running, description: str, *options: str) -> None:
    folder = CLIENTS / "schemathesis"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--target", str(folder), "schemathesis>=4,<5"], check=True)
    start = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    usual = ["--no-color", "--seed", "1", "--max-examples", "20", "--request-timeout", "60"]
    done = subprocess.run(
        [sys.executable, "-c", start, "run", description, *usual, *options]
        + ["-H", f"Authorization: Bearer {KEY}"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert not [values for event, values in server.lines if event == "fault"]


@pytest.mark.parametrize(
    "phases",
    [["--phases", "examples,coverage"], ["--phases", "fuzzing", "--mode", "positive"]],
    ids=["coverage", "fuzzing"],
)
def test_ours(phases: list[str]):
    """No 5xx on anything that it generates, every status, type and body as described, wrong data refused, no
    route that answers without its key. Fuzzing with wrong data is left out: version 4.32 of the tool stops
    over pictures that it has made itself.
    """
    with running(keys=(KEY,)) as server:
        check(server, f"{server.base}/openapi.json", *ALL, *phases)


@pytest.mark.parametrize("year", ["2025_01", "2026_08"])
def test_openai_s(year: str):
    """Whatever fits what OpenAI published is answered as it describes, or refused; nothing breaks."""
    with running(keys=(KEY,)) as server:
        file = str(PUBLISHED / f"images_{year}.json")
        check(server, file, "--url", f"{server.base}/v1", *SOUND, "--phases", "fuzzing", "--mode", "positive")
