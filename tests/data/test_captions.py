"""Which caption a training step reads: shares of kinds and languages, and stand-ins for missing ones."""

from collections import Counter

import numpy as np
import pytest
import torch

from armchair.core.errors import BadInput, DataError
from armchair.core.task import Caption, Sample
from armchair.data.captions import CaptionMix

ALL = [
    Caption(f"{kind} {language}", kind, language)
    for kind in ("alt", "short", "long")
    for language in ("en", "ko")
]


def shares(mix: CaptionMix, captions, n=4000) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    sample = Sample("k", np.zeros((1, 1, 3), np.uint8), tuple(captions))
    return {
        text: count / n for text, count in Counter(mix.pick(sample, generator).text for _ in range(n)).items()
    }


def test_shares_multiply():
    """The DALL·E 3 recipe mixes 95 % long and 5 % alt; a language share is independent of the kind."""
    found = shares(CaptionMix(kinds={"long": 0.95, "alt": 0.05}, languages={"en": 3, "ko": 1}), ALL)
    wanted = {"long en": 0.7125, "long ko": 0.2375, "alt en": 0.0375, "alt ko": 0.0125}
    assert found.keys() == wanted.keys()
    assert all(abs(found[text] - share) < 0.03 for text, share in wanted.items())


def test_many_captions_of_one_kind_share_its_part():
    """Five alt texts must not outweigh one long caption."""
    captions = [Caption("long", "long", "en"), *(Caption(f"alt {i}", "alt", "en") for i in range(5))]
    found = shares(CaptionMix(kinds={"long": 1, "alt": 1}), captions)
    assert abs(found["long"] - 0.5) < 0.03


def test_what_is_missing_is_made_up_by_what_exists():
    """A stranger's folder has alt texts of unknown language only; training on it must work with any mix."""
    mix = CaptionMix(kinds={"long": 1}, languages={"ko": 1})
    assert shares(mix, [Caption("x"), Caption("y")], 400).keys() == {"x", "y"}
    assert shares(mix, [Caption("x", "long", "ko"), Caption("y")], 50) == {"x": 1}
    assert shares(CaptionMix(), ALL, 1000).keys() == {caption.text for caption in ALL}
    with pytest.raises(DataError, match="k has no caption"):
        shares(mix, [])


def test_wrong_shares_are_named():
    """A misspelt kind would silently get nothing."""
    with pytest.raises(BadInput, match="'longg'.*Did you mean 'long'"):
        CaptionMix(kinds={"longg": 1})
    with pytest.raises(BadInput, match="'fr'"):
        CaptionMix(languages={"fr": 1})
    with pytest.raises(BadInput, match="-1"):
        CaptionMix(kinds={"long": -1})
    with pytest.raises(BadInput, match="all caption kinds are 0"):
        CaptionMix(kinds={"long": 0})
