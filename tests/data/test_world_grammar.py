"""Grammar and placement in the captions of Emoji World, English and Korean."""

import random
import re
import unicodedata
from collections import Counter
from functools import cache

import pytest

from armchair.data.world.captions import caption, entry
from armchair.data.world.captions_en import noun_phrase
from armchair.data.world.concepts import load_concepts
from armchair.data.world.korean import final_consonant, josa, strip_particles
from armchair.data.world.layout import Box
from armchair.data.world.scene import COLOURS, Relation, Scene, Thing, WorldConfig, sample_scene

CONCEPTS = {concept.name: concept for concept in load_concepts()}
MIDDLE = Box(0.5, 0.5, 0.8, 0.8)


def thing(name, tint="natural", boxes=(MIDDLE,), style="glossy"):
    return Thing(name, style, tint, tuple(boxes))


def scene(*things, relations=(), background="white", sign=None, index=0):
    return Scene(index, tuple(things), tuple(relations), background, sign)


@cache
def scenes(count=600):
    """A mixture with many relations and signs."""
    config = WorldConfig(single=0.35, verbs=0.4, natural=0.5, signs=0.2)
    return tuple(sample_scene(i, config) for i in range(count))


def tell(s, kind, language, seed=0, **options):
    return caption(s, kind, language, random.Random(seed), **options)


def either(words) -> str:
    return "(?:" + "|".join(re.escape(w) for w in sorted(set(words), key=len, reverse=True)) + ")"


# ---- English grammar

SPOKEN_WITH_A = ("unicorn", "ufo", "ukulele", "university", "uniform", "one-")
SPOKEN_WITH_AN = ("hourglass", "hour", "honest", "heir")


def article_of(phrase: str) -> str:
    if phrase.startswith(SPOKEN_WITH_A):
        return "a"
    return "an" if phrase.startswith(SPOKEN_WITH_AN) or phrase[0] in "aeiou" else "a"


def test_articles_of_every_concept():
    """a / an before every noun of the world and every colour."""
    rng = random.Random(0)
    for concept in CONCEPTS.values():
        for noun in entry(concept).en:
            if not noun.article:
                continue
            assert noun_phrase(noun, "", 1, rng) == f"{article_of(noun.one)} {noun.one}"
            for colour in (*COLOURS, "emerald", "azure"):
                phrase = noun_phrase(noun, colour, 1, rng)
                assert phrase == f"{article_of(colour)} {colour} {noun.one}"


def test_articles_in_whole_captions():
    """The same for every "a" and "an" that captions put in front of anything."""
    for s in scenes():
        for kind in ("short", "long"):
            text = tell(s, kind, "en", s.index).lower()
            for article, word in re.findall(r"\b(an?) ([a-z][a-z'-]*)", text):
                assert article == article_of(word), text


EN_PAIRS_OF_KNIVES = {f"a {n} of {k}" for n in ("pair", "couple") for k in ("knives", "kitchen knives")}


@pytest.mark.parametrize(
    ("name", "tint", "count", "said"),
    [
        ("knife", "natural", 2, {"two knives", "two kitchen knives", *EN_PAIRS_OF_KNIVES}),
        ("mouse", "natural", 3, {"three mice"}),
        ("scissors", "black", 1, {"black scissors", "a pair of black scissors"}),
        ("scissors", "natural", 2, {"two pairs of scissors"}),
        ("bread", "natural", 1, {"bread", "some bread"}),
        ("bread", "red", 3, {"three loaves of red bread"}),
        ("grapes", "green", 2, {"two bunches of green grapes"}),
        ("apple", "natural", 2, {"two apples", "a pair of apples", "a couple of apples"}),
    ],
)
def test_plurals_and_mass_nouns(name, tint, count, said):
    """Numbers stand before plurals, pairs and measures, colours before the noun itself."""
    nouns = [
        noun
        for noun in entry(CONCEPTS[name]).en
        if any(noun.one.split()[-1] in s or noun.many in s for s in said)
    ]
    colour = "" if tint == "natural" else tint
    found = {noun_phrase(noun, colour, count, random.Random(seed)) for noun in nouns for seed in range(60)}
    assert said & found
    assert found <= said


def test_verbs_agree_with_their_nouns():
    """ "The cats is" is the typical slip of a sentence frame."""
    for s in scenes():
        text = tell(s, "long", "en", s.index)
        for t in s.things:
            concept = CONCEPTS[t.concept]
            many = t.count > 1 or concept.number == "plural"
            wrong = "(?:is|has)" if many else "(?:are|have)"
            table = concept.plural if t.count > 1 else concept.en
            if concept.number == "mass":
                continue
            assert re.search(rf"(?<!of )\bthe {either(table)} {wrong}\b", text, re.IGNORECASE) is None, text


def test_art_is_never_called_a_photo():
    """The drawings are not photographs; only alt text's boilerplate says "photographed on"."""
    for s in scenes():
        if "camera" in (t.concept for t in s.things):  # 사진기
            continue
        for kind in ("short", "long"):
            assert "photo" not in tell(s, kind, "en", s.index)
            assert "사진" not in tell(s, kind, "ko", s.index)


# ---- placement


@pytest.mark.parametrize("x", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("y", [0.2, 0.5, 0.8])
def test_placement_is_true(x, y):
    """left, right, top and bottom are read off the box."""
    s = scene(thing("cup", boxes=(Box(x, y, 0.3, 0.3),)))
    for seed in range(60):
        en = tell(s, "long", "en", seed)
        assert (re.search(r"\bleft\b", en) is not None) == (x < 0.4), en
        assert (re.search(r"\bright\b", en) is not None) == (x > 0.6), en
        assert (re.search(r"\b(?:top|upper|up on)\b", en) is not None) == (y < 0.4), en
        assert (re.search(r"\b(?:bottom|lower|down on)\b", en) is not None) == (y > 0.6), en
        ko = re.sub("배경 위에", "", tell(s, "long", "ko", seed))
        assert ("왼쪽" in ko) == (x < 0.4), ko
        assert ("오른쪽" in ko) == (x > 0.6), ko
        assert (re.search("위쪽|쪽 위", ko) is not None) == (y < 0.4), ko
        assert (re.search("아래", ko) is not None) == (y > 0.6), ko


def test_two_things_are_placed_each():
    """ "The cat is on the left and the dog on the right", never the other way round."""
    left, right = Box(0.25, 0.5, 0.4, 0.4), Box(0.75, 0.5, 0.4, 0.4)
    s = scene(
        thing("lion", boxes=(left,)), thing("tiger", boxes=(right,)), relations=[Relation(0, "left of", 1)]
    )
    for seed in range(60):
        en = tell(s, "long", "en", seed)
        assert re.search(
            r"the lion is (?:on|in) the left[^.,;]* and the tiger (?:on|in) the right", en, re.I
        ), en
        assert re.search(
            "(?:사자|숫사자|수사자)는 [가-힣 ]*왼쪽에 [가-힣 ]*있고 (?:호랑이|범)[은는] [가-힣 ]*오른쪽에",
            tell(s, "long", "ko", seed),
        )


def test_rows_and_columns():
    """Several things of a kind: how they lie is said, and only if it is so."""
    row = scene(thing("cup", boxes=[Box(x, 0.5, 0.3, 0.3) for x in (0.2, 0.5, 0.8)]))
    column = scene(thing("cup", boxes=[Box(0.5, y, 0.3, 0.3) for y in (0.2, 0.8)]))
    rowing, stacking = (
        re.compile(r"side by side|in a row|next to each other"),
        re.compile(r"one (?:above|over) the|column"),
    )
    for seed in range(60):
        assert rowing.search(tell(row, "long", "en", seed))
        assert stacking.search(tell(column, "long", "en", seed))
        assert re.search("나란히|줄지어", tell(row, "long", "ko", seed))
        assert re.search("위아래로|세로로", tell(column, "long", "ko", seed))


def test_two_of_a_kind_are_told_apart():
    """A red and a blue apple: "the apple" would mean neither."""
    boxes = Box(0.25, 0.5, 0.4, 0.4), Box(0.75, 0.5, 0.4, 0.4)
    s = scene(
        thing("apple", "red", boxes[:1]),
        thing("apple", "blue", boxes[1:]),
        relations=[Relation(0, "left of", 1)],
    )
    for seed in range(40):
        en = tell(s, "long", "en", seed)
        assert "the apple " not in en.lower()
        assert re.search(
            "(red|crimson) apple.* (blue|azure) apple|(blue|azure) apple.* (red|crimson) apple", en
        ), en
        assert not re.search("(?:^|[.,다고] )사과[는가]", tell(s, "long", "ko", seed))


# ---- Korean grammar


@pytest.mark.parametrize(
    ("word", "particle", "said"),
    [
        ("사과", "을", "사과를"),
        ("곰인형", "을", "곰인형을"),
        ("고양이", "이", "고양이가"),
        ("컵", "가", "컵이"),
        ("개", "은", "개는"),
        ("책", "는", "책은"),
        ("컵", "와", "컵과"),
        ("배", "과", "배와"),
        ("칼", "으로", "칼로"),
        ("붓", "으로", "붓으로"),
        ("나무", "으로", "나무로"),
        ("공", "이랑", "공이랑"),
        ("모자", "이랑", "모자랑"),
        ("3", "을", "3을"),
        ("2", "을", "2를"),
        ("7", "으로", "7로"),
        ("10", "으로", "10으로"),
        ("L", "을", "L을"),
        ("A", "을", "A를"),
        ("PNG", "을", "PNG를"),
        ('"STOP"', "이라고", '"STOP"이라고'),
        ('"HELLO"', "이라고", '"HELLO"라고'),
        ('"open"', "이라고", '"open"이라고'),
        ('"LOVE"', "이라고", '"LOVE"라고'),
        ('"hotel"', "이라고", '"hotel"이라고'),
    ],
)
def test_particles(word, particle, said):
    """The form follows the last sound, also of digits and Latin letters, and of what stands in quotes."""
    assert josa(word, particle) == said


def test_final_consonants_agree_with_unicode():
    """Independent oracle: the decomposed syllable has three letters when it ends in a consonant."""
    for code in range(ord("가"), ord("힣") + 1, 7):
        syllable = chr(code)
        assert (final_consonant(syllable) > 0) == (len(unicodedata.normalize("NFD", syllable)) == 3)


def closed(word: str) -> bool:
    return len(unicodedata.normalize("NFD", word[-1])) == 3


def test_particles_in_whole_captions():
    """Every particle after a word of the world, a counter or a background."""
    nouns = {w for c in CONCEPTS.values() for w in c.ko} | {f" {c.counter}" for c in CONCEPTS.values()}
    nouns |= {
        "배경",
        "그림",
        "선화",
        "스티커",
        "밤하늘",
        "바다",
        "풀밭",
        "눈밭",
        "사막",
        "우주",
        "흰색",
        "일러스트",
    }
    pattern = re.compile(
        rf"({either(nouns)})(을|를|이랑|랑|과|와|은|는|으로|로|이다|다|이에요|예요)(?=[ ,.])"
    )
    seen = Counter()
    for s in scenes():
        for kind in ("short", "long"):
            for word, particle in pattern.findall(tell(s, kind, "ko", s.index)):
                seen[particle] += 1
                after_consonant = particle in ("을", "이랑", "과", "은", "으로", "이다", "이에요")
                if particle in ("로", "으로") and unicodedata.normalize("NFD", word[-1])[-1] == "ᆯ":
                    assert particle == "로"
                else:
                    assert closed(word) == after_consonant, (word, particle)
    assert min(seen[p] for p in ("을", "를", "과", "와", "은", "는")) > 20


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [
        ("cat", 2, {"고양이 두 마리", "두 마리의 고양이"}),
        ("apple", 3, {"사과 세 개", "세 개의 사과"}),
        ("bicycle", 4, {"자전거 네 대", "네 대의 자전거"}),
    ],
)
def test_korean_counting(name, count, said):
    """Native numerals with the counter of the noun."""
    boxes = [Box(0.2 + 0.2 * i, 0.5, 0.2, 0.2) for i in range(count)]
    texts = {tell(scene(thing(name, boxes=boxes)), "short", "ko", seed) for seed in range(80)}
    assert said <= {match for text in texts for match in said if match in text}


def test_korean_endings_are_joined_rightly():
    """Clauses end in the stem 있; nothing may be left of the frame's marks."""
    for s in scenes():
        for kind in ("alt", "short", "long"):
            text = tell(s, kind, "ko", s.index)
            assert not re.search(r"[{}|]|있있|있(?=[ .]|$)|  |은은|는는", text), text


def test_stripping_particles():
    """Prompt words carry particles; the world knows their stems."""
    assert "사과" in strip_particles("사과를")
    assert "방" in strip_particles("방에서는")
    assert strip_particles("을") == []
