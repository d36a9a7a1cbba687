"""Korean words of Emoji World: colours, styles, backgrounds, relations, and the frames of whole captions.

Only tables live here; `captions_ko.py` fills them in. `captions.known_words` reads every upper-case name.

Slots of a frame: {np} everything in the scene as a noun phrase · {cl} the same as a clause that ends in the
stem 있 ("고양이가 개 왼쪽에 있", so that 다, 는, 고, 습니다 can follow) · {where} placement, {hue} colour,
both on 있 · {picture} a noun with the style · {manner} the style as an adverb · {on} the background as
an adverb · {bg} as a noun. A slot may carry a particle, which takes the form that fits: {np|을}, {bg|이다}.
"""

# kinds of which nobody says "one": 파도 한 개
NEVER_ONE = frozenset(("nature", "building"))

NUMBERS = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열")

# in front of a noun; the usual word first
COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("빨간", "빨간색", "붉은", "빨강"),
    "orange": ("주황색", "주황", "주황빛", "오렌지색"),
    "yellow": ("노란", "노란색", "샛노란", "노랑"),
    "green": ("초록색", "초록", "녹색", "초록빛"),
    "blue": ("파란", "파란색", "푸른", "파랑"),
    "purple": ("보라색", "보라", "보랏빛", "자주색"),
    "pink": ("분홍색", "핑크색", "분홍", "분홍빛"),
    "black": ("검은", "검은색", "까만", "검정"),
}
# words that name a colour: not used for a thing of another colour
TINTED = frozenset(("홍고추", "홍등", "청바지", "백곰", "흰곰", "갈색곰"))
COLOUR_NOUNS = {
    "red": "빨간색",
    "orange": "주황색",
    "yellow": "노란색",
    "green": "초록색",
    "blue": "파란색",
    "purple": "보라색",
    "pink": "분홍색",
    "black": "검은색",
}

# in front of 배경
PLAIN: dict[str, tuple[str, ...]] = {
    "white": ("흰색", "하얀", "흰", "하얀색"),
    "grey": ("회색", "회색", "연한 회색"),
    "cream": ("크림색", "크림색", "아이보리색"),
    "red": ("빨간색", "빨간", "붉은"),
    "orange": ("주황색", "주황", "오렌지색"),
    "yellow": ("노란색", "노란", "노랑"),
    "green": ("초록색", "초록", "녹색"),
    "blue": ("파란색", "파란", "푸른"),
    "purple": ("보라색", "보라", "보랏빛"),
    "pink": ("분홍색", "핑크색", "분홍"),
    "black": ("검은색", "검은", "까만"),
}
PLAIN_BG: dict[str, tuple[str, ...]] = {
    "white": ("흰색", "하얀색"),
    "grey": ("회색", "연한 회색"),
    "cream": ("크림색", "아이보리색"),
    **{tint: (word, word + " 단색") for tint, word in COLOUR_NOUNS.items()},
}
PLAIN_ON = ("{} 배경에", "{} 배경에", "{} 배경 위에", "{} 바탕에")
PLAIN_OF = ("{} 배경의", "{} 배경에 있는", "{} 배경 위의", "{} 바탕의")

PLACES_ON: dict[str, tuple[str, ...]] = {
    "sky": ("하늘을 배경으로", "푸른 하늘 아래", "하늘에"),
    "night": ("밤하늘 아래", "밤하늘을 배경으로", "어두운 밤에", "별이 뜬 밤에"),
    "sea": ("바다를 배경으로", "바닷가에", "바다에", "푸른 바다 앞에"),
    "meadow": ("풀밭에", "풀밭을 배경으로", "초원에", "잔디밭 위에"),
    "snow": ("눈밭에", "눈 위에", "눈 덮인 들판에", "눈밭을 배경으로"),
    "desert": ("사막에", "사막을 배경으로", "모래사막에"),
    "space": ("우주에", "우주 공간에", "우주를 배경으로"),
    "room": ("방 안에", "방에", "실내에", "방을 배경으로"),
}
PLACES_AT = {
    place: tuple(words for words in table if not words.endswith("배경으로"))
    for place, table in PLACES_ON.items()
}
PLACES_OF: dict[str, tuple[str, ...]] = {
    "sky": ("하늘에 있는", "하늘을 배경으로 한", "하늘 배경의"),
    "night": ("밤하늘 아래의", "밤하늘을 배경으로 한", "밤하늘 아래 있는", "밤하늘 배경의"),
    "sea": ("바다에 있는", "바다를 배경으로 한", "바닷가의", "바다 배경의"),
    "meadow": ("풀밭에 있는", "풀밭 위의", "초원의", "잔디밭에 있는"),
    "snow": ("눈밭에 있는", "눈 위의", "눈 속의", "눈밭 위의"),
    "desert": ("사막에 있는", "사막의", "사막을 배경으로 한"),
    "space": ("우주에 있는", "우주 속의", "우주를 배경으로 한"),
    "room": ("방 안의", "방에 있는", "방 안에 있는", "실내에 있는"),
}
PLACES_BG: dict[str, tuple[str, ...]] = {
    "sky": ("푸른 하늘", "맑은 하늘", "구름이 있는 하늘"),
    "night": ("밤하늘", "어두운 밤하늘", "별이 뜬 밤하늘"),
    "sea": ("바다", "푸른 바다", "잔잔한 바다"),
    "meadow": ("풀밭", "푸른 초원", "초록빛 풀밭"),
    "snow": ("눈밭", "하얀 눈밭", "눈 덮인 들판"),
    "desert": ("사막", "모래사막", "넓은 사막"),
    "space": ("우주", "우주 공간", "별이 있는 우주"),
    "room": ("방 안", "평범한 방", "실내"),
}

STYLE_PICTURES: dict[str, tuple[str, ...]] = {
    "glossy": (
        "광택 있는 그림",
        "반짝이는 그림",
        "반짝이는 아이콘",
        "입체적인 그림",
        "윤기 나는 일러스트",
        "입체 이모지",
    ),
    "soft": ("부드러운 그림", "부드러운 느낌의 그림", "부드러운 일러스트", "부드러운 이모지", "포근한 그림"),
    "flat": ("플랫 일러스트", "납작한 그림", "평면적인 그림", "플랫 디자인 그림", "플랫 아이콘"),
    "line": ("선화", "선화", "선 그림", "라인 드로잉", "윤곽선 그림"),
    "sticker": ("스티커", "스티커", "스티커 그림", "스티커 느낌의 그림", "만화 스티커"),
}
STYLE_MANNER: dict[str, tuple[str, ...]] = {
    "glossy": ("광택 있게", "반짝이는 느낌으로", "윤기 나게", "입체감 있게"),
    "soft": ("부드럽게", "부드러운 느낌으로", "부드러운 스타일로", "포근한 느낌으로"),
    "flat": ("플랫 스타일로", "납작하게", "평면적으로", "플랫 디자인으로"),
    "line": ("선으로", "선화로", "윤곽선만으로", "가는 선으로"),
    "sticker": ("스티커처럼", "스티커 스타일로", "스티커 느낌으로"),
}
STYLE_OF: dict[str, tuple[str, ...]] = {
    "glossy": ("반짝이는 느낌의", "광택 있게 그린", "입체감 있게 그린", "광택 있는 스타일의"),
    "soft": ("부드러운 느낌의", "부드럽게 그린", "부드러운 스타일의"),
    "flat": ("플랫 스타일의", "납작하게 그린", "평면적으로 그린"),
    "line": ("선으로 그린", "선화로 그린", "윤곽선만 그린"),
    "sticker": ("스티커 스타일의", "스티커 느낌의", "스티커처럼 그린"),
}
STYLE_TAGS: dict[str, tuple[str, ...]] = {
    "glossy": ("광택 있는 스타일", "반짝이는 스타일", "입체 스타일"),
    "soft": ("부드러운 스타일", "부드러운 느낌", "부드러운 그림체"),
    "flat": ("플랫 스타일", "플랫 디자인", "납작한 스타일"),
    "line": ("선화", "라인 아트", "선 그림"),
    "sticker": ("스티커", "스티커 스타일", "스티커 그림"),
}
PICTURES = ("그림", "그림", "그림", "이미지", "일러스트", "이모지", "아이콘")

RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("왼쪽에", "왼쪽에", "왼쪽에", "왼편에"),
    "right of": ("오른쪽에", "오른쪽에", "오른쪽에", "오른편에"),
    "above": ("위에", "위쪽에", "위쪽에"),
    "below": ("아래에", "아래쪽에", "밑에"),
    "on": ("위에", "위에"),
    "in front of": ("앞에", "앞에", "앞쪽에"),
    "behind": ("뒤에", "뒤쪽에"),
}
# "컵 위의 사과": before a noun
RELATIONS_OF = {kind: tuple(f"{place[:-1]}의" for place in places) for kind, places in RELATIONS.items()}
INVERSE = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "in front of": "behind",
}
# relation "on": what stands before 있 ("위에 올라가 있는"), and a shorter form before a noun ("위에 앉은")
ON_ANIMATE = (("", ""), ("", ""), ("올라가 ", "올라간"), ("앉아 ", "앉은"), ("서 ", "선"))
ON_THING = (("", ""), ("", ""), ("놓여 ", "놓인"), ("올려져 ", "올려진"))

# verb -> (stem before 있, form before a noun)
VERBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "riding": ("타고 ", ("타고 있는", "타고 있는", "탄", "타는")),
    "holding": ("들고 ", ("들고 있는", "들고 있는", "든")),
    "playing": ("연주하고 ", ("연주하는", "연주하고 있는")),
    "playing with": ("가지고 놀고 ", ("가지고 노는", "가지고 놀고 있는")),
    "strike": ("치고 ", ("치는", "치고 있는", "연주하는")),
    "bow": ("켜고 ", ("켜는", "켜고 있는", "연주하는")),
    "blow": ("불고 ", ("부는", "불고 있는", "연주하는")),
    "wearing": ("입고 ", ("입고 있는", "입은")),
    "head": ("쓰고 ", ("쓰고 있는", "쓴")),
    "feet": ("신고 ", ("신고 있는", "신은")),
    "hands": ("끼고 ", ("끼고 있는", "낀")),
    "neck": ("두르고 ", ("두르고 있는", "두른")),
    "tie": ("매고 ", ("매고 있는", "맨")),
    "back": ("메고 ", ("메고 있는", "멘")),
    "wrist": ("차고 ", ("차고 있는", "찬")),
}
# concepts for which wearing and playing have a word of their own
WORN = {
    **dict.fromkeys(
        ("hat", "cap", "crown", "helmet", "graduation cap", "glasses", "sunglasses", "headphones"), "head"
    ),
    **dict.fromkeys(("shoe", "high heel", "boot", "socks", "ice skate"), "feet"),
    **dict.fromkeys(("gloves", "boxing glove", "ring"), "hands"),
    "scarf": "neck",
    "tie": "tie",
    "backpack": "back",
    "wristwatch": "wrist",
}
PLAYED = {
    **dict.fromkeys(("guitar", "piano", "drum", "bell"), "strike"),
    "violin": "bow",
    **dict.fromkeys(("trumpet", "saxophone", "flute"), "blow"),
}

SIGNS = (
    '"{}"{이라고} 적힌 표지판',
    '"{}"{이라고} 쓰인 표지판',
    '"{}"{이라고} 적힌 팻말',
    '"{}"{이라고} 써 있는 간판',
    '"{}"{이라는} 글자가 적힌 표지판',
)

SIGN_PLACES = {"top": "위쪽에", "bottom": "아래쪽에"}

PLAIN_SINGLE = (
    "{n}", "{n}", "{n}", "{n}", "{n}", "{n}", "{c}", "{c}", "{c}", "{n} 그림", "{n} 그림", "{n} 그림",
    "{n} 이모지", "{n} 아이콘", "{n} 일러스트", "{n} 이미지", "{n} 그려줘",
    "{n} 그려주세요", "{n} 그려 줘", "{c} 그려줘",
    "{c}|이 있는 그림",
)  # fmt: skip

PLACEMENT: dict[tuple[str, str], tuple[str, ...]] = {
    ("left", "top"): ("왼쪽 위에", "왼쪽 위 구석에", "화면 왼쪽 위에"),
    ("centre", "top"): ("위쪽에", "화면 위쪽에", "위쪽 가운데에"),
    ("right", "top"): ("오른쪽 위에", "오른쪽 위 구석에", "화면 오른쪽 위에"),
    ("left", "middle"): ("왼쪽에", "화면 왼쪽에", "그림 왼쪽에"),
    ("centre", "middle"): ("가운데에", "한가운데에", "화면 중앙에", "그림 한가운데에"),
    ("right", "middle"): ("오른쪽에", "화면 오른쪽에", "그림 오른쪽에"),
    ("left", "bottom"): ("왼쪽 아래에", "왼쪽 아래 구석에", "화면 왼쪽 아래에"),
    ("centre", "bottom"): ("아래쪽에", "화면 아래쪽에", "아래쪽 가운데에"),
    ("right", "bottom"): ("오른쪽 아래에", "오른쪽 아래 구석에", "화면 오른쪽 아래에"),
}
# what stands before 있
LARGE = ("가운데에 크게 자리 잡고 ", "한가운데에 커다랗게 그려져 ", "화면 중앙에 크게 그려져 ")
STANDS = ("", "", "", "자리 잡고 ", "그려져 ")
SMALL = ("작게 그려져 ", "조그맣게 그려져 ", "작게 자리 잡고 ")
SPREADS: dict[str, tuple[str, ...]] = {
    "row": ("나란히 ", "한 줄로 나란히 ", "옆으로 줄지어 "),
    "column": ("위아래로 나란히 ", "세로로 줄지어 ", "위아래로 놓여 "),
    "spread": ("여기저기 흩어져 ", "서로 떨어져 ", "화면 곳곳에 "),
    "near": ("모여 ", "함께 모여 ", "가까이 모여 "),
}

NATURAL = (
    "모두 원래 색을 띠고 ",
    "색은 모두 자연스럽게 칠해져 ",
    "색은 평소 보던 그대로 칠해져 ",
    "모두 자연스러운 색을 띠고 ",
)
HUE = ("{은} {c}으로 칠해져 ", "{은} 온통 {c}을 띠고 ", "{의} 색은 {c}으로 되어 ")
# appended to captions that are too short, by the register of the sentence before: -다, -습니다, -요
CLOSING = {
    "다": (
        "그림 속에 다른 것은 아무것도 없다.",
        "그 밖에 다른 물건은 전혀 보이지 않는다.",
        "나머지 부분은 그냥 비어 있다.",
    ),
    "니다": (
        "그림 속에 다른 것은 아무것도 없습니다.",
        "그 밖에 다른 물건은 전혀 보이지 않습니다.",
        "나머지 부분은 그냥 비어 있습니다.",
    ),
    "요": (
        "그림 속에 다른 것은 아무것도 없어요.",
        "그 밖에 다른 물건은 전혀 보이지 않아요.",
        "나머지 부분은 그냥 비어 있어요.",
    ),
}

FRAMES_KO: tuple[str, ...] = (
    "{on} {cl}는 {picture|이다}. {where}다.",
    "{on} {cl}다. {where}고, 전체적으로 {manner} 그려져 있다.",
    "{cl}는 {picture|이다}. 배경은 {bg|이고} {where}다.",
    "{cl}다. 배경은 {bg|이다}. {where}고, {manner} 그린 그림이다.",
    "이것은 {cl}는 {picture|이다}. 배경은 {bg|이며}, {where}다.",
    "이 그림에는 {np|이} 나온다. 배경은 {bg|이고}, {where}다. 전체를 {manner} 그렸다.",
    "그림 속에 {np|이} 보인다. {where}고 배경은 {bg|이다}. {manner} 그린 그림이다.",
    "{np|을} {manner} 그린 그림이다. 배경은 {bg|이고}, {where}다.",
    "{np|을} 그린 {picture|이다}. {where}고, 뒤의 배경은 {bg|이다}.",
    "{bg|을} 배경으로 {np|을} 그린 {picture|이다}. {where}다.",
    "{bg|을} 배경으로 한 그림으로, {cl}다. {where}고 {manner} 표현했다.",
    "배경은 {bg|이다}. 그 앞에 {np|이} 보인다. {where}고, {manner} 그려져 있다.",
    "배경이 {bg|이다}. {cl}고, {where}다. 그림은 {manner} 그려져 있다.",
    "{manner} 그린 그림이다. {on} {cl}다. {where}다.",
    "{manner} 그린 이 그림에는 {np|이} 등장한다. {where}고 배경은 {bg|이다}.",
    "화면에는 {np|이} 보인다. {hue}고, {where}다. 배경은 {bg|이고} {manner} 그려져 있다.",
    "{picture} 한 장이다. {on} {cl}다. {where}다.",
    "{picture} 속에 {np|이} 있다. {where}고, 배경은 {bg|이다}.",
    "{np|이} 주인공인 {picture|이다}. {where}다. 배경은 {bg|이다}.",
    "{cl}는 모습을 {manner} 그렸다. {where}고 배경은 {bg|이다}.",
    "{on} {cl}는 모습을 그린 {picture|이다}. {hue}고, {where}다.",
    "{cl}는 장면이다. {where}고, 배경은 {bg|이다}. {manner} 표현한 그림이다.",
    "{on} {cl}는 장면을 {manner} 표현했다. {where}다. {hue}다.",
    "누군가 {np|을} {manner} 그렸다. {where}다. 배경은 {bg|이다}.",
    "작가는 {np|을} {manner} 그렸다. {hue}고 {where}다. 배경은 {bg|이다}.",
    "단순한 장면이다. {on} {cl}다. {where}고, {manner} 그린 그림이다.",
    "{cl}다. {hue}다. {where}다. {bg|을} 배경으로 {manner} 그렸다.",
    "{on} {cl}습니다. {where}습니다. {manner} 그린 그림입니다.",
    "이 그림은 {np|을} 그린 {picture}입니다. 배경은 {bg}입니다. {where}습니다.",
    "이 그림에는 {np|이} 있습니다. {where}고, 배경은 {bg}입니다. 전체적으로 {manner} 그려져 있습니다.",
    "그림을 보면 {cl}습니다. {where}습니다. 배경은 {bg}입니다. {manner} 그린 그림입니다.",
    "{picture}입니다. {cl}습니다. {where}고, 배경은 {bg}입니다.",
    "{manner} 표현한 그림입니다. {on} {cl}습니다. {hue}고, {where}습니다.",
    "{bg|을} 배경으로 한 {picture}입니다. {np|이} 보이고, {where}습니다.",
    "배경은 {bg}이고, {cl}습니다. {hue}습니다. {where}습니다. 그림은 {manner} 그려져 있습니다.",
    "보시는 그림은 {picture}입니다. {np|이} 나오고 {where}습니다. 배경은 {bg}입니다.",
    "{on} {cl}는 {picture|을} 그려 줘. {where}어야 해.",
    "{cl}는 {picture|을} 그려줘. 배경은 {bg|으로} 하고, {where}게 해 줘.",
    "{np|을} {manner} 그려 주세요. 배경은 {bg|으로} 해 주세요. {where}으면 좋겠어요.",
    "{picture|을} 하나 만들어 주세요. {on} {cl}고, {where}으면 좋겠어요.",
    "{on} {cl}는 그림이 필요해요. {where}고, {manner} 그려져 있으면 좋겠어요.",
    "{np|이} 나오는 {picture|이} 필요합니다. {where}어야 하고, 배경은 {bg|으로} 해 주세요.",
    "{on} {cl}어요. {where}어요. {manner} 그린 그림이에요.",
    "그림에 {np|이} 있어요. 배경은 {bg}이고, {where}어요. {manner} 그렸어요.",
    "{cl}는 그림이에요. {hue}고, {where}어요. {bg|을} 배경으로 {manner} 그렸어요.",
    "귀여운 {picture|이에요}. {np|이} 있고, {where}어요. 배경은 {bg|이에요}.",
    "주제: {np}. 위치: {where}음. 배경: {bg}. 스타일: {picture}.",
    "{np}. {where}고, 배경은 {bg|이다}. 전체적인 느낌은 {picture|이다}.",
    "{on} {cl}는 그림. {where}고 {manner} 그려져 있음. {hue}음.",
    "{picture}, {bg} 배경. {np|이} 그려져 있고, {where}음.",
    "{np|이} 한눈에 들어오는 {picture|이다}. {where}다. 그 뒤의 배경은 {bg|이다}.",
    "배경에 {bg|이} 보이고, 그 앞에 {np|이} 있다. {where}다. {manner} 그린 그림이다.",
)

# ---- alt text
FILES = (
    "IMG_{n4}.jpg", "DSC{n5}.JPG", "image{n2}.png", "{slug}.png", "{slug}{n2}.jpg", "{slug}_{n3}.png",
    "스크린샷_{n4}.png", "제목없음-{n1}.jpg",
)  # fmt: skip
MONTHS = tuple(str(month) for month in range(1, 13))
BOILERPLATE_AFTER = (
    "무료 다운로드", "무료 이미지", "스톡 벡터", "벡터 일러스트", "아이콘 png", "png", "이미지 모음",
    "- 무료 아이콘", "일러스트 소스", "저작권 무료", "고화질", "배경화면", "이모티콘", "색칠공부 도안",
    "{year}년 {month}월 {day}일 촬영", "{year}.{m}.{day}", "({year})", "추천", "판매중", "캐릭터",
    "- {n1}페이지", "no.{n3}", "{file}", "클립아트", "도안", "스티커 판매", "템플릿", "그리기", "로고",
)  # fmt: skip
BOILERPLATE_BEFORE = (
    "무료", "귀여운", "벡터", "[이미지]", "다운로드:", "그림:", "손그림", "예쁜", "신상", "{file}:",
    "그림 {n1}.", "{year}년", "오늘의", "아이콘:", "캐릭터", "인기", "{year}년 {month}월",
)  # fmt: skip
ALT_ONLY = (
    "제목 없음", "이미지", "스톡 벡터", "설명 없음", "그림 {n2}", "{year}년 {month}월 {day}일", "아이콘",
    "미리보기", "{year}년 {month}월 {day}일 촬영",
)  # fmt: skip
