"""T5's tokenizer from its file: the likeliest pieces, as a search over all of them finds."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from armchair.core.errors import BadInput
from armchair.text.t5 import T5Tokenizer

PIECES = [
    ("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), ("▁", -3.0, 1), ("▁a", -3.2, 1),
    ("▁cat", -5.0, 1), ("c", -6.0, 1), ("a", -5.0, 1), ("t", -5.5, 1), ("at", -6.5, 1),
    ("▁빨간", -7.0, 1), ("빨", -9.0, 1),
    ("간", -9.5, 1), ("▁고양이", -8.0, 1), ("이", -7.5, 1), ("!", -6.0, 1), ("!!", -6.2, 1), ("🍎", -9.9, 1),
]  # fmt: skip


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def spiece(model_type: int = 1) -> bytes:
    """A ModelProto as SentencePiece writes it: pieces, trainer, an empty map."""
    out = b""
    for name, score, kind in PIECES:
        piece = message(1, name.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind)
        out += message(1, piece)
    out += message(2, b"\x18" + varint(model_type) + varint(40 << 3) + varint(2))
    return out + message(3, message(1, b"identity") + b"\x18\x01")


def likeliest(text: str) -> list[int]:
    """Of all ways to cut a word, the one with the highest sum; an unknown letter is ten below the least."""
    scores = {name: (score, i) for i, (name, score, kind) in enumerate(PIECES) if kind == 1}
    unknown = (min(score for score, _ in scores.values()) - 10, 2)
    ids: list[int] = []
    for word in text.split():
        word = "▁" + word
        best: list[tuple[float, list[int]]] = [(0.0, [])] + [(-math.inf, [])] * len(word)
        for end in range(1, len(word) + 1):
            for start in range(end):
                score, token = scores.get(word[start:end], unknown if end == start + 1 else (-math.inf, 2))
                if best[start][0] + score > best[end][0]:
                    best[end] = (best[start][0] + score, [*best[start][1], token])
        for token in best[-1][1]:
            if token != 2 or ids[-1:] != [2]:  # unknown letters in a row are one piece
                ids.append(token)
    return ids


@pytest.mark.parametrize(
    "text",
    [
        "a cat",
        "  cat \u0020 at  ",
        "빨간 고양이!!!",
        "빨이간",
        "🍎 a🍎",
        "dog cat",
        "",
        "tact a",
        "고양이🐱 cat",
    ],
)
def test_ids_are_the_likeliest(text: str):
    """Korean, emoji, odd spaces, letters that it has not."""
    tokenizer = T5Tokenizer.from_spiece(spiece())
    assert tokenizer.encode(text) == likeliest(text)
    assert T5Tokenizer.load(tokenizer.save()).encode(text) == likeliest(text)


def test_what_a_network_needs_to_know():
    """Pad and end are ids of their own, and decoding gives the text back."""
    tokenizer = T5Tokenizer.from_spiece(spiece())
    assert (tokenizer.pad, tokenizer.end, tokenizer.vocab) == (0, 1, len(PIECES))
    assert tokenizer.decode(tokenizer.encode("a 빨간 cat")) == "a 빨간 cat"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "'<unk>' is not in list"),
        (b"nonsense", "no SentencePiece model"),
        (spiece()[:-40], "cut short"),
        (spiece(model_type=2), "model_type is 2"),
    ],
)
def test_a_wrong_file_is_an_error(data: bytes, words: str):
    """One line that says what is wrong with it."""
    with pytest.raises(BadInput) as caught:
        T5Tokenizer.from_spiece(data)
    assert words in str(caught.value)
    with pytest.raises(BadInput):
        T5Tokenizer.from_json(data)


@pytest.mark.references
@pytest.mark.filterwarnings("ignore")
def test_sentencepiece_itself(tmp_path: Path):
    """A model that the library trains, with its own normalisation, id for id on every line."""
    import importlib

    library = importlib.import_module("sentencepiece")
    lines = [
        "a photo of a cat on a chair", "two dogs and a red apple", "빨간 사과와 고양이", "의자 위의 곰인형",
        "a cat sat on the mat 12 times", "the quick brown fox, isn't it?", "🍎 and 🐱",
    ]  # fmt: skip
    (tmp_path / "text").write_text("\n".join(lines * 20), encoding="utf-8")
    library.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "spiece"), vocab_size=53, pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, model_type="unigram",
    )  # fmt: skip
    reference = library.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    tokenizer = T5Tokenizer.from_spiece((tmp_path / "spiece.model").read_bytes())
    assert tokenizer.vocab == reference.get_piece_size()
    more = [
        "  odd\u00a0 spaces\u3000here\t\n", "ＦＵＬＬ ｗｉｄｔｈ ﬁ ½", "e\u0301 é", "", "   ", "zzz ЖЖ 日本",
        "👩\u200d👩\u200d👧 🇰🇷", "a" * 50, "ㅋㅋ ... !!",
    ]  # fmt: skip
    for line in [*lines, *more]:
        assert tokenizer.encode(line) == reference.encode(line), line
