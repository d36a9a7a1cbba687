"""Our BPE: the library's tokens at dropout 0, the paper's law with dropout, seeded by the generator."""

import json
import pickle
import random
from collections import Counter

import ftfy
import pytest
import torch
from tokenizers import Tokenizer, models

from armchair.core.errors import BadInput
from armchair.text.bpe import BPE, fit, normalise

WORDS = (
    "a red blue small apple cat dog on the left of and café Straße it's don't 3 1,234 snow-white ★".split()
)
KOREAN = "빨간 사과 파란 컵 고양이가 자동차 위에 있는 그림 왼쪽 소파 안락의자".split()
SYLLABLES = [consonant + vowel for consonant in "bdklmnrst" for vowel in "aeiou"]


def caption(number: int) -> str:
    rng = random.Random(number)
    made = [
        "".join(rng.choice("bdklmnrst") + rng.choice("aeiou") for _ in range(rng.randint(1, 4)))
        for _ in range(4)
    ]
    words = rng.choices(WORDS if rng.random() < 0.6 else KOREAN, k=rng.randint(1, 11)) + made
    rng.shuffle(words)
    return " ".join(words) + rng.choice(["", ".", "!?", " …"])


@pytest.fixture(scope="module")
def bpe() -> BPE:
    return BPE.train((caption(number) for number in range(4000)), vocab=1500)


def test_equals_the_library_without_dropout(bpe):
    """The loop over the merges is ours; 10,000 captions, most of them new, must not tell the two apart."""
    texts = [normalise(caption(number)) for number in range(2000, 12000)]
    library = Tokenizer.from_str(bpe.save().decode())
    theirs = [encoding.ids for encoding in library.encode_batch(texts)]
    assert bpe.vocab == 1500
    assert bpe.encode_batch(texts) == theirs
    assert bpe.encode_batch(texts[:500]) == theirs[:500]  # again, from the remembered words


def algorithm_1(model: dict, word: str, dropout: float, rng: random.Random) -> tuple[int, ...]:
    """As Provilkov et al. write it: drop each possible merge, apply the best that is left, until none is."""
    ranks = model["ranks"]
    pieces = list(word)
    while True:
        left = [
            (ranks[pair], place)
            for place, pair in enumerate(zip(pieces, pieces[1:], strict=False))
            if pair in ranks and rng.random() >= dropout
        ]
        if not left:
            return tuple(model["vocab"][piece] for piece in pieces)
        place = min(left)[1]
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_dropout_follows_the_papers_law(bpe, dropout):
    """Encoding jumps to the first skipped merge by one draw; that must not change the distribution."""
    n = 3000
    generator = torch.Generator().manual_seed(1)
    ours = Counter(tuple(bpe.encode("apple", dropout, generator)) for _ in range(n))
    rng = random.Random(2)
    model = json.loads(bpe.save())["model"]
    model["ranks"] = {tuple(merge): rank for rank, merge in enumerate(model["merges"])}
    theirs = Counter(algorithm_1(model, "Ġapple", dropout, rng) for _ in range(n))
    assert len(theirs) > 5
    distance = sum(abs(ours[ids] - theirs[ids]) for ids in ours | theirs) / (2 * n)  # total variation
    assert distance < 0.06


def test_dropout_is_a_function_of_the_generator(bpe):
    """A resumed run must read the same tokens; torch's global generator must not be touched."""
    texts = [caption(number) for number in range(50)]
    before = torch.get_rng_state()
    first, again, other = (bpe.encode_batch(texts, 0.1, torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    cold = BPE.load(bpe.save()).encode_batch(texts, 0.1, torch.Generator().manual_seed(7))
    assert first == again == cold  # with or without remembered words
    assert first != other
    assert torch.equal(before, torch.get_rng_state())


def test_every_segmentation_spells_the_text(bpe):
    """Dropout changes how a caption is cut, never what it says, in any script."""
    generator = torch.Generator().manual_seed(0)
    texts = [caption(number) for number in range(200)] + ["\U0001f34e 🍏", "Ünïcödé", "ᄒ", "\ud83d lone"]
    for text in texts:
        assert bpe.decode(bpe.encode(text, 0.5, generator)) == bpe.decode(bpe.encode(text)) == normalise(text)


def test_normalisation():
    """Mended, composed, lower-case, single spaces; the shortcut for plain text gives what ftfy gives."""
    assert normalise("  A  Red\tAPPLE\n") == "a red apple"
    assert normalise("cafÃ©") == "café"  # mojibake
    assert normalise("e\u0301") == "\u00e9"
    assert normalise("\u1112\u1161\u11ab") == "한"  # decomposed Hangul, as macOS writes it
    assert normalise("salt &amp; pepper") == "salt & pepper"
    hangul = "".join(map(chr, random.Random(0).choices(range(0xAC00, 0xD7A4), k=300)))
    for text in (
        hangul,
        "빨간 <b>'사과'",
        "".join(map(chr, range(32, 127))),
        'it\'s "so" <b>',
        "a  b",
        "\x1b[31mred",
        "a\r\nb",
        "fi",
    ):
        assert normalise(text) == " ".join(ftfy.fix_text(text).lower().split())


def test_nothing_is_added(bpe):
    """Pads and start-of-text are the transformer's: no text, no ids; the file declares no special token."""
    assert bpe.encode("") == bpe.encode(" \n") == []
    assert json.loads(bpe.save())["added_tokens"] == []
    assert bpe.encode("a red apple") == bpe.encode("A red") + bpe.encode("apple")


def test_save_load_pickle_and_train_again(bpe):
    """Bundles store the bytes of `save`, workers get it by pickle, training has no hidden randomness."""
    ids = bpe.encode("빨간 apple")
    assert (
        BPE.load(bpe.save()).encode("빨간 apple")
        == pickle.loads(pickle.dumps(bpe)).encode("빨간 apple")
        == ids
    )
    twice = [BPE.train(map(caption, range(300)), vocab=600).save() for _ in range(2)]
    assert twice[0] == twice[1]


def test_a_run_without_spaces_does_not_hang(bpe):
    """A quadratic loop over a caption of 200 kB would stop a run for hours."""
    text = "ab" * 100_000
    ids = bpe.encode(text, 0.1, torch.Generator())
    assert bpe.decode(ids) == text


def test_fit_counts_the_cut():
    """A long caption is cut and reported, never fatal."""
    assert fit([1, 2, 3], 3) == ([1, 2, 3], False)
    assert fit([1, 2, 3, 4], 3) == ([1, 2, 3], True)
    assert fit([], 3) == ([], False)


def test_wrong_input_is_named(bpe):
    """Each mistake is one line that names the value."""
    with pytest.raises(BadInput, match="100"):
        BPE.train(["a"], vocab=100)
    with pytest.raises(BadInput, match="no text"):
        BPE.train(["", " "])
    with pytest.raises(BadInput, match="tokenizer file"):
        BPE.load(b"\xff")
    with pytest.raises(BadInput, match="256 bytes"):
        BPE.load(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str().encode())
    with pytest.raises(BadInput, match="256 bytes"):
        BPE.load(Tokenizer(models.BPE({"a": 0}, [])).to_str().encode())
    with pytest.raises(BadInput, match="1.5"):
        bpe.encode("a", 1.5, torch.Generator())
    with pytest.raises(BadInput, match="Generator"):
        bpe.encode("a", 0.1)
    with pytest.raises(BadInput, match="1500"):
        bpe.decode([1500])
