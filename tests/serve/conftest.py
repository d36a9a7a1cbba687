"""One server for all tests that only ask; those that break things start their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from tests.serve.running import Running, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers import the scripted studio from the checkout, and find its gates."""
    with pytest.MonkeyPatch.context() as patch:
        found = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(found))
        patch.setenv("FAKE_GATES", str(tmp_path_factory.mktemp("gates")))
        yield


@pytest.fixture(scope="session")
def server(studio: None) -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def strict(studio: None) -> Iterator[Running]:
    with running(strict=True) as server:
        yield server
