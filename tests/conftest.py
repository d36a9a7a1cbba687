"""What holds for every test: one thread a worker, no network unless marked, no GPU test without a GPU."""

import os
import socket

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch loads: two workers share two cores
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest


@pytest.fixture(autouse=True)
def surroundings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory):
    """Keep tests off the network (loopback stays) and out of the user's cache."""
    if request.node.get_closest_marker("network") is not None:
        return
    monkeypatch.setenv("ARMCHAIR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    connect = socket.socket.connect

    def local_only(self: socket.socket, address, /):
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in {"localhost", "127.0.0.1", "::1"}:
            raise AssertionError(f"a test without the network marker connects to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu = [item for item in items if item.get_closest_marker("gpu") is not None]
    if gpu:
        import torch

        if not torch.cuda.is_available():
            for item in gpu:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
