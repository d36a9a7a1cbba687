"""Korean particles: the form depends on whether the word before it ends in a consonant.

Hangul syllables say so themselves; digits are read as Sino-Korean numbers (3 = sam), a lone Latin letter or a
word without vowels by the letters' names (L = el), other Latin words as they are usually written in Hangul.
"""

from functools import lru_cache

# after a consonant, after a vowel
PARTICLES: dict[str, tuple[str, str]] = {
    "을": ("을", "를"),
    "이": ("이", "가"),
    "은": ("은", "는"),
    "과": ("과", "와"),
    "으로": ("으로", "로"),
    "이랑": ("이랑", "랑"),
    "이라고": ("이라고", "라고"),
    "이라는": ("이라는", "라는"),
    "이다": ("이다", "다"),
    "이고": ("이고", "고"),
    "이며": ("이며", "며"),
    "이나": ("이나", "나"),
    "아": ("아", "야"),
}
_FORMS = {form: pair for pair in PARTICLES.values() for form in pair}

_RIEUL = 8  # index of the final consonant that takes -ro like a vowel
_DIGIT_FINALS = {"0": 21, "1": 8, "2": 0, "3": 16, "4": 0, "5": 0, "6": 1, "7": 8, "8": 8, "9": 0}
_LETTER_FINALS = {"l": 8, "m": 16, "n": 4, "r": 8}
# words of signs and prompts that the ending rules below would get wrong
_WORDS = {
    "love": 0, "home": 16, "time": 16, "game": 16, "sale": 8, "smile": 8, "one": 4, "zone": 4, "shine": 4,
    "fine": 4, "line": 4, "apple": 8, "cake": 0, "like": 0, "make": 0, "hope": 0, "cute": 0, "art": 0,
    "start": 0, "party": 0, "light": 0, "night": 0, "heart": 0, "great": 0, "lost": 0, "best": 0,
    "west": 0, "east": 0, "milk": 0, "park": 0, "work": 0, "bark": 0, "help": 0, "jump": 0, "left": 0,
    "thank": 0, "car": 0, "star": 0, "bar": 0, "tea": 0, "wow": 0, "new": 0, "now": 0, "eat": 0,
    "meet": 0, "break": 0, "up": 17, "off": 0, "fast": 0, "boat": 0, "soup": 0, "keep": 0, "dream": 16,
    "fun": 4, "sun": 4, "moon": 4, "all": 8, "cool": 8, "full": 8, "pull": 8, "girl": 8, "king": 21,
    "ring": 21, "sing": 21, "magic": 1, "music": 1, "welcome": 16, "come": 16, "some": 16, "nice": 0,
    "free": 0, "please": 0, "bike": 0, "closed": 0, "peace": 0, "here": 0, "there": 0, "more": 0,
    "store": 0, "fire": 0, "wine": 4, "june": 4, "mine": 4, "hotel": 8, "enter": 0,
    "exit": 0, "quiet": 19, "taxi": 0,
}  # fmt: skip


def _latin(word: str) -> int:
    """Index (0 = none) of the final consonant of a Latin word as it is read in Korean."""
    if word in _WORDS:
        return _WORDS[word]
    if len(word) == 1 or not set(word) & set("aeiouy"):
        return _LETTER_FINALS.get(word[-1], 0)
    if word.endswith("ng"):
        return 21
    if word.endswith(("le", "el", "al", "il", "ol", "ul")) or word[-1] == "l":
        return _RIEUL
    if word.endswith(("me", "m")):
        return 16
    if word.endswith(("ne", "n")):
        return 4
    if (
        word[-1] in "pbtkc"
        and len(word) > 1
        and word[-2] in "aeiou"
        and (len(word) < 3 or word[-3] not in "aeiou")
    ):
        return {"p": 17, "b": 17, "t": 19, "k": 1, "c": 1}[word[-1]]
    if word.endswith("ck"):
        return 1
    return 0


@lru_cache(maxsize=16384)
def final_consonant(word: str) -> int:
    """Index of the final consonant of the last readable character of `word`, 0 when it ends in a vowel.

    Quotes, brackets and punctuation at the end are looked through. The index is Unicode's: ㄱ = 1, ㄹ = 8.
    """
    bare = word.rstrip("\"'”’)]}.,!?~»」』 ")
    if not bare:
        return 0
    last = bare[-1]
    if "가" <= last <= "힣":
        return (ord(last) - 0xAC00) % 28
    if last.isdigit():
        return _DIGIT_FINALS.get(last, 0)
    if last.isascii() and last.isalpha():
        start = len(bare)
        while start and bare[start - 1].isascii() and bare[start - 1].isalpha():
            start -= 1
        return _latin(bare[start:].lower())
    return 0


def josa(word: str, particle: str) -> str:
    """`word` with the fitting form of `particle` (either form may be given): josa("사과", "을") == "사과를".

    Raises KeyError for a particle that has one form only (에, 의, 도...): append those yourself.
    """
    after_consonant, after_vowel = _FORMS[particle]
    final = final_consonant(word)
    if final == 0 or (final == _RIEUL and after_vowel == "로"):
        return word + after_vowel
    return word + after_consonant


# longest first, so that 에서는 goes before 는
_ENDINGS = tuple(
    sorted(
        {form for pair in PARTICLES.values() for form in pair}
        | {
            "의",
            "에",
            "에는",
            "에서",
            "에서는",
            "도",
            "만",
            "처럼",
            "하고",
            "까지",
            "부터",
            "들",
            "들이",
            "들을",
            "한테",
            "에게",
        }
        | {"이에요", "예요", "입니다", "인", "한", "하는", "있는"},
        key=lambda form: (-len(form), form),
    )
)


def strip_particles(word: str) -> list[str]:
    """What `word` may be without a particle or ending, the longest ending first: 사과를 -> [사과]."""
    return [word[: -len(ending)] for ending in _ENDINGS if word.endswith(ending) and len(word) > len(ending)]
