"""Naming by words: templates, ensembles in embedding space, and the scores that a run logs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.scores import Encoders, recall, retrieval_scores, zero_shot_scores
from armchair.clip.zeroshot import (
    SEVEN,
    TEMPLATES,
    class_embeddings,
    classify,
    concept_prompts,
    label_prompts,
)
from armchair.core.errors import BadInput
from armchair.core.task import Caption, Sample
from armchair.data.world.concepts import find_concept, load_concepts
from armchair.data.world.scene import WorldConfig, sample_scene


def test_the_ensemble_is_a_mean_of_directions():
    """Normalise, average, normalise (section 3.1.4): a long embedding must not outvote a short one."""
    table = {"a": [10.0, 0.0], "b": [0.0, 0.1], "c": [0.0, -2.0]}
    classes = class_embeddings(lambda texts: torch.tensor([table[t] for t in texts]), [["a", "b"], ["c"]])
    torch.testing.assert_close(classes, torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, -1.0]]))
    near = F.normalize(torch.tensor([[1.0, 0.9], [0.1, -1.0]]), dim=-1)
    assert classify(near, classes).tolist() == [0, 1]


def test_many_prompts_go_in_batches():
    """The last batch is short; classes have different numbers of prompts."""
    sizes: list[int] = []

    def embed(texts: Sequence[str]) -> Tensor:
        sizes.append(len(texts))
        return torch.tensor([[float(len(t)), 1.0] for t in texts])

    prompts = [["x"] * 3, ["xxxx"], ["xx"] * 4]
    classes = class_embeddings(embed, prompts, batch=3)
    assert sizes == [3, 3, 2]
    torch.testing.assert_close(classes[1], F.normalize(torch.tensor([4.0, 1.0]), dim=0))


def test_prompts_of_a_label():
    """The paper's default, and its seven for ImageNet."""
    assert label_prompts("cat") == ["A photo of a cat."]
    assert label_prompts("cat", SEVEN)[0] == "itap of a cat." and len(SEVEN) == 7


def test_prompts_of_a_concept():
    """Every word in every template, with its own article; Korean needs none."""
    apple = concept_prompts(find_concept("apple"), "en")
    assert "an apple" in apple and "a drawing of an apple" in apple
    assert "사과 그림" in concept_prompts(find_concept("apple"), "ko")
    for concept in load_concepts():
        for language, words in (("en", concept.en), ("ko", concept.ko)):
            prompts = concept_prompts(concept, language)
            assert len(prompts) == len(words) * len(TEMPLATES[language])
            assert all("{" not in p and p == p.strip() and "  " not in p for p in prompts)
    with pytest.raises(BadInput, match="no templates in 'de'"):
        concept_prompts(find_concept("apple"), "de")


def test_recall_by_hand():
    """Three pairs: picture 0 finds its caption, 1 finds 2's, 2 its own; captions likewise by column."""
    image = torch.eye(3)
    text = torch.tensor([[0.9, 0.0, 0.0], [0.8, 0.5, 0.0], [0.0, 0.6, 0.7]])
    assert recall(image, text) == pytest.approx({"image_to_text": 2 / 3, "text_to_image": 2 / 3})
    assert recall(image, torch.ones(3, 3)) == {"image_to_text": 1.0, "text_to_image": 1.0}, "equals count"


def sample(index: int, words: dict[tuple[str, str], str]) -> Sample:
    captions = tuple(Caption(text, kind, language) for (kind, language), text in words.items())  # type: ignore[arg-type]
    return Sample(str(index), np.full((4, 4, 3), index, np.uint8), captions)


def test_retrieval_is_told_by_language_and_kind():
    """Of captions that are true; alt texts only where there is nothing else."""
    both = [
        sample(i, {("short", "en"): str(i), ("alt", "en"): "9", ("long", "ko"): str(1 - i)}) for i in (0, 1)
    ]
    encoders = Encoders(
        lambda samples: torch.tensor([[1.0, float(s.image[0, 0, 0])] for s in samples]) - 0.5,
        lambda texts: torch.tensor([[1.0, float(t)] for t in texts]) - 0.5,
    )
    scores = retrieval_scores(encoders, both)
    assert scores == {
        "image_to_text_en_short": 1.0,
        "text_to_image_en_short": 1.0,
        "image_to_text_ko_long": 0.0,
        "text_to_image_ko_long": 0.0,
    }
    plain = [sample(i, {("alt", ""): str(i)}) for i in (0, 1)]
    assert set(retrieval_scores(encoders, plain)) == {"image_to_text_alt", "text_to_image_alt"}


def test_zero_shot_counts_single_things_among_all_concepts():
    """With an oracle for encoders every single thing is named rightly; scenes of several do not count, and
    without a known truth there is no score.
    """
    names = [c.name for c in load_concepts()]
    words = {(w, language): n for n, c in enumerate(load_concepts()) for language in ("en", "ko")
             for w in concept_prompts(c, language)}  # fmt: skip
    config = WorldConfig()
    scenes = [sample_scene(i, config) for i in range(30)]
    samples = [Sample(str(s.index), np.zeros((4, 4, 3), np.uint8), (), truth=s) for s in scenes]

    def one_hot(rows: list[int]) -> Tensor:
        return F.one_hot(torch.tensor(rows), len(names)).float()

    encoders = Encoders(
        lambda part: one_hot([names.index(s.truth.things[0].concept) for s in part]),
        lambda texts: one_hot([words[t, "ko" if any("가" <= c <= "힣" for c in t) else "en"] for t in texts]),
    )
    scores = zero_shot_scores(encoders, samples)
    assert scores["zero_shot_en"] > 0.9 and scores["zero_shot_ko"] > 0.9, "words that two concepts share"
    assert zero_shot_scores(encoders, [sample(0, {})]) == {}
