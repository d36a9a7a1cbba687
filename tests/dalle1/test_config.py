"""Sizes: what derives from them is the paper's, and what cannot be is refused in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from armchair.core.config import from_json, override, to_json
from armchair.core.errors import BadInput
from armchair.dalle1.config import DVAEConfig, TransformerConfig, paper_patterns
from armchair.recipes.dalle1_transformer_tiny import recipe


def test_defaults_are_the_papers():
    """32 x 32 codes of 8 pixels, 1/64 of a residual path; 256 + 1,024 places (sections 2 and A.1)."""
    dvae, net = DVAEConfig(), TransformerConfig()
    assert (dvae.stride, dvae.grid, dvae.vocab, dvae.post_gain) == (8, 32, 8192, 1 / 64)
    assert (net.length, net.image_length, net.width // net.heads) == (1280, 1024, 64)
    assert (net.text_vocab, net.image_vocab, net.text_loss, net.conv_kernel) == (16384, 8192, 1 / 8, 11)


def test_post_gain_counts_all_layers():
    """1 / (groups * blocks) squared, not squared only in the released model's case."""
    assert DVAEConfig(groups=3, blocks=1).post_gain == pytest.approx(1 / 9)


def test_the_papers_patterns():
    """Row, column, row, row, ..., and a convolution last: 47, 16 and 1 of 64 (appendix B.1)."""
    patterns = paper_patterns(64)
    assert patterns[:4] == ("row", "column", "row", "row")
    assert patterns[61:] == ("column", "row", "conv")
    assert Counter(patterns) == {"row": 47, "column": 16, "conv": 1}
    assert paper_patterns(1) == ("conv",)
    assert paper_patterns(2) == ("row", "conv"), "the last layer's rule comes first"


@pytest.mark.parametrize(
    ("cls", "values", "words"),
    [
        (DVAEConfig, {"image_size": 100}, "image_size 100 is not a multiple of the stride 8"),
        (DVAEConfig, {"width": 30}, "width 30 is not a multiple of 4"),
        (TransformerConfig, {"width": 100, "heads": 3}, "width 100 is not a multiple of heads 3"),
        (TransformerConfig, {"conv_kernel": 4}, "conv_kernel 4 is even"),
        (TransformerConfig, {"depth": 3, "patterns": ("row",)}, "patterns names 1 layers, depth is 3"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_impossible_sizes_are_refused(cls: type, values: dict, words: str):
    """At once and by name, not as a shape error an hour later; from a file too."""
    with pytest.raises(ValueError, match=words):
        cls(**values)
    with pytest.raises(BadInput, match=words):
        from_json(cls, values)


def test_configs_survive_json():
    """A bundle holds them so; patterns are a tuple in Python and a list in JSON."""
    chosen = replace(TransformerConfig(), depth=2, patterns=("full", "conv"))
    assert from_json(TransformerConfig, to_json(chosen)) == chosen


def test_set_reaches_a_network():
    """--set names a network's field through the recipe, and what it breaks is said in one line."""
    assert override(recipe(), ["task.net.depth=2"]).task.net.depth == 2
    with pytest.raises(BadInput, match="width 65 is not a multiple of heads 2"):
        override(recipe(), ["task.net.width=65"])
