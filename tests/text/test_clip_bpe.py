"""CLIP's tokenizer id for id against a slow one written from the paper and the released code's rules."""

from __future__ import annotations

import gzip
import html
import pickle
import unicodedata

import ftfy
import pytest

from armchair.core.errors import BadInput
from armchair.text.bpe import BPE
from armchair.text.clip_bpe import ClipBPE, clean
from armchair.text.tokenizer import load_tokenizer

MERGES = [
    "t h", "th e</w>", "c a", "ca t</w>", "i n", "in g</w>", "r e", "re d</w>", "ë ¹", "ë¹ ¨", "' s</w>",
    "! !", "!! !</w>", "ð Ł", "ðŁ ĺ", "o o</w>",
]  # fmt: skip
VOCAB = 512 + len(MERGES) + 2
CORPUS = [
    "a cat", "The RED cat's hat", "thinking of the cats", "", "   ", "a_b snake_case __init__",
    "빨간 고양이가 의자 위에 있다", "한국어 English 섞어 쓰기!", "ㅋㅋㅋ ㅠㅠ 안녕하세요?",
    "🍎", "a 🐱 and 👩\u200d👩\u200d👧\u200d👦, 🇰🇷 ❤️!!!", "too cooool 😀😀😀",
    "  odd   spaces\t\tand\nlines  ", "no\u00a0break\u3000wide\u2003em", "tab\x0bfeed\x0c",
    "2021-10-03, 3.5 kg of x2", "½ ² Ⅷ ٣", "it's I'LL we've they're I'd don't", "!!!! ... --- ???",
    "&lt;b&gt; fish &amp;amp; chips", "schÃ¶n", "e\u0301 é ﬁ ｆｕｌｌ", "İstanbul STRASSE ẞ",
    "ไทย हिन्दी العربية", "<|startoftext|> a <|endoftext|>", "x<|endoftext|>", "don’t “quote”",
]  # fmt: skip


def letters() -> dict[int, str]:
    """What stands for a byte: itself where it prints, else the next letter from 256 on."""
    shown = {byte: chr(byte) for byte in range(256) if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174}
    others = [byte for byte in range(256) if byte not in shown]
    return shown | {byte: chr(256 + i) for i, byte in enumerate(others)}


def slow(text: str) -> list[int]:
    """The rules, one character and one merge at a time."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    text = " ".join(text.split()).lower()
    table = letters()
    order = [letter for letter in table.values() if ord(letter) < 256] + [chr(256 + i) for i in range(68)]
    names = [*order, *(x + "</w>" for x in order), *(merge.replace(" ", "") for merge in MERGES)]
    names += ["<|startoftext|>", "<|endoftext|>"]
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(MERGES)}
    ids: list[int] = []
    for piece in pieces(text):
        if piece in names[-2:]:
            ids.append(names.index(piece))
            continue
        word = [table[byte] for byte in piece.encode()]
        word[-1] += "</w>"
        while True:
            pairs = [
                (ranks[pair], i) for i, pair in enumerate(zip(word, word[1:], strict=False)) if pair in ranks
            ]
            if not pairs:
                break
            rank = min(pairs)[0]
            merged, i = [], 0
            while i < len(word):
                both = tuple(word[i : i + 2])
                step = 2 if len(both) == 2 and ranks.get((both[0], both[1])) == rank else 1
                merged.append("".join(word[i : i + step]))
                i += step
            word = merged
        ids += [names.index(part) for part in word]
    return ids


def pieces(text: str) -> list[str]:
    """Specials, contractions, runs of letters, single numbers, runs of the rest."""
    found: list[str] = []
    i = 0
    while i < len(text):
        start = [x for x in ("<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
                 if text.startswith(x, i)]  # fmt: skip
        kind = sort(text[i])
        if start:
            found.append(start[0])
        elif kind == " ":
            i += 1
            continue
        elif kind == "N":
            found.append(text[i])
        else:
            j = i
            while j < len(text) and sort(text[j]) == kind:
                j += 1
            found.append(text[i:j])
        i += len(found[-1])
    return found


def sort(letter: str) -> str:
    if letter.isspace():
        return " "
    kind = unicodedata.category(letter)[0]
    return kind if kind in "LN" else "."


@pytest.fixture(scope="module")
def bpe() -> ClipBPE:
    return ClipBPE.from_merges("\n".join(["#version: 0.2", *MERGES, "x y", "y z"]).encode(), VOCAB)


@pytest.mark.parametrize("text", CORPUS)
def test_ids_are_the_published_ones(bpe: ClipBPE, text: str):
    """Korean, emoji, odd spaces, mended and escaped text, digits, contractions, the specials."""
    assert bpe.encode(text) == slow(text)


def test_the_corpus_needs_every_merge(bpe: ClipBPE):
    """A corpus that merges nothing would not see a wrong order of merges."""
    used = {token for text in CORPUS for token in bpe.encode(text)}
    made = set(range(512, 512 + len(MERGES)))
    assert len(made & used) >= len(made) // 2


def test_files_and_pickles_keep_it(bpe: ClipBPE):
    """The component of a bundle, the two files of a Hugging Face folder, a worker process, a gzipped file."""
    texts = CORPUS[:8]
    others = [
        ClipBPE.load(bpe.save()),
        ClipBPE.from_files(*bpe.files()),
        pickle.loads(pickle.dumps(bpe)),
        ClipBPE.from_merges(gzip.compress("\n".join(["#version", *MERGES]).encode()), VOCAB),
    ]
    for other in others:
        assert other.vocab == bpe.vocab == VOCAB - 2
        assert other.encode_batch(texts) == bpe.encode_batch(texts)


def test_decoding_gives_the_cleaned_text(bpe: ClipBPE):
    """Pieces come back with a space after each."""
    assert bpe.decode(bpe.encode("The RED cat, 고양이 🐱")) == "the red cat , 고양이 🐱"
    with pytest.raises(BadInput, match=f"0..{VOCAB - 1}"):
        bpe.decode([VOCAB])


def test_a_bundle_says_which_tokenizer_it_holds(bpe: ClipBPE):
    """Both are files of the same library; read as the other kind, ids would be wrong without an error."""
    own = BPE.train(["a cat", "a cat sat"], 300)
    assert isinstance(load_tokenizer(bpe.save()), ClipBPE)
    assert isinstance(load_tokenizer(own.save()), BPE)
    assert load_tokenizer(own.save()).encode("a cat") == own.encode("a cat")
    for data in (b"", b"{}", b"[1]", b"\xff"):
        with pytest.raises(BadInput, match="not a tokenizer file"):
            load_tokenizer(data)


@pytest.mark.parametrize(
    ("data", "vocab", "words"),
    [
        (b"#version\nt h\n", VOCAB, "this file has 1 merges; a vocabulary of"),
        (b"\x1f\x8bnothing", VOCAB, "no file of merges"),
        (b"\xff\xfe", VOCAB, "no file of merges"),
        (b"#version\nth e\n", 515, "merges 'th e', which is not in its vocabulary"),
    ],
)
def test_a_wrong_file_is_an_error(data: bytes, vocab: int, words: str):
    """One line that says what is wrong with it."""
    with pytest.raises(BadInput) as caught:
        ClipBPE.from_merges(data, vocab)
    assert words in str(caught.value)


def test_dropout_is_refused(bpe: ClipBPE):
    """It has none; silently ignoring it would make a recipe say what is not so."""
    with pytest.raises(BadInput, match="no dropout"):
        bpe.encode("a cat", dropout=0.1)


def test_cleaning():
    """What is the same text has the same ids."""
    assert clean("  A\u00a0 CAT\n") == "a cat"
    assert clean("fish &amp;amp; chips") == "fish & chips"
