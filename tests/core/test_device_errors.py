"""Devices and precisions that are not here get the list of those that are."""

from __future__ import annotations

import pickle

import pytest
import torch

from armchair.core.device import pick_device, pick_dtype
from armchair.core.errors import BadInput, MissingDependency, nearest


def test_devices():
    """auto always finds one; a typo or an absent card is BadInput."""
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(BadInput, match="'cpuu'.*Did you mean 'cpu'"):
        pick_device("cpuu")
    with pytest.raises(BadInput, match="cuda:99"):
        pick_device("cuda:99")


def test_dtypes():
    """auto is float32: the same seed is the same picture."""
    assert pick_dtype("auto") == torch.float32
    assert pick_dtype(torch.bfloat16) == torch.bfloat16
    with pytest.raises(BadInput, match="bfloat16"):
        pick_dtype("bf8")


def test_nearest():
    """Close spellings are offered, far ones are not."""
    assert nearest("dale1", ["dalle1", "dalle2"]) == " Did you mean 'dalle1'?"
    assert nearest("zebra", ["dalle1"]) == ""


def test_missing_dependency_names_the_extra():
    """It crosses process borders (data workers), where exceptions are pickled."""
    error = pickle.loads(pickle.dumps(MissingDependency("webdataset", "train")))
    assert "armchair[train]" in str(error)


def test_the_version_is_the_packages():
    """It stands in two places: the package's, which recipes hold, and pyproject.toml, which pip reads."""
    import tomllib
    from pathlib import Path

    import armchair

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == armchair.__version__
