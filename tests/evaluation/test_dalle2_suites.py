"""The suites of DALL·E 2 on an untrained one of toy size."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from armchair.evaluation import dalle2_suites
from armchair.evaluation.session import Session
from tests.dalle2.tiny import whole_bundle
from tests.evaluation.worlds import ART, Towers


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Session:
    for sizes in ("CAPTIONED", "INVERTED", "WALKS"):
        monkeypatch.setattr(dalle2_suites, sizes, {True: 4 if sizes != "WALKS" else 1})
    session = Session(whole_bundle(tmp_path_factory.getbasetemp() / "dalle2").folder, art=ART, quick=True)
    session.__dict__["_clip"] = (Towers(), SimpleNamespace(digest="c" * 64))
    return session


def test_prior(made: Session):
    """A row for each prior of the bundle and one for the text itself, in both languages, with its floor."""
    found = dalle2_suites.prior(made)
    whose = ("diffusion prior", "ar prior", "text itself")
    names = [f"{what}, {who}" for who in whose for what in ("cosine", "R@1")]
    assert list(found.scores) == names
    assert all(set(row) == {"en", "ko"} for row in found.scores[names[0]].values())
    assert all(-1 <= found.values[name].value <= 1 and found.values[name].n == 4 for name in names)
    assert found.values["R@1, text itself"].floor == 0.25


def test_roundtrip(made: Session):
    """eta 0 gives back what went in, far nearer than another scene; a blend has no jump worth the name of
    one."""
    found = dalle2_suites.roundtrip(made)
    back = found.values["PSNR, eta 0"]
    assert back.floor is not None and back.value > back.floor + 3
    assert found.values["cosine, eta 0"].value > 0.95
    assert found.values["largest step of a blend, of the mean"].value >= 1
    assert found.values["PSNR of a blend's ends"].value > back.floor
