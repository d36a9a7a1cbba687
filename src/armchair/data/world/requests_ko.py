"""How people ask for a change of a picture, in Korean; see `requests_en.py`. A slot may carry a particle:
{the|을}.
"""

UNSEEN = 2

REQUESTS_KO: dict[str, tuple[str, ...]] = {
    "recolour": (
        "{the|을} {cn|으로} 바꿔 줘", "{the|을} {cn|으로} 칠해 줘", "{the|을} {cn|으로} 해 주세요",
        "{the|은} {cn|이면} 좋겠어요", "{the} 색을 {cn|으로} 바꿔 주세요", "{the|을} {cn|으로} 만들어 줘",
        "{the|을} {cn|으로} 그려 줘", "{the} 색은 {cn|으로} 해 줘", "{the|이} {cn|이면} 어떨까?",
        "{the|을} {cn|으로} 변경해 주세요",
    ),
    "recolour it": (
        "{cn|으로} 바꿔 줘", "{cn|으로} 칠해 줘", "색을 {cn|으로} 해 주세요", "{cn|으로} 만들어 줘",
        "{cn|이면} 좋겠어요", "{cn|으로} 변경해 주세요",
    ),
    "add": (
        "{place} {a|을} 추가해 줘", "{place} {a|을} 넣어 줘",
        "{place} {a|도} 그려 줘", "{place} {a|도} 넣어 주세요",
        "{place} {a|을} 더해 줘", "{place} {a|도} 있으면 좋겠어요", "{place} {a|도} 하나 추가해 주세요",
        "{place} {a|도} 더 그려 주세요",
    ),
    "remove": (
        "{the|을} 빼 줘", "{the|을} 지워 줘", "{the|을} 없애 줘", "{the} 없이 그려 줘", "{the|은} 빼 주세요",
        "{the|을} 삭제해 줘", "{the|을} 제거해 주세요", "{the|은} 없애 주세요",
    ),
    "restyle": (
        "{manner} 그려 줘", "{picture|으로} 바꿔 줘", "{picture|으로} 그려 줘", "{manner} 바꿔 주세요",
        "{manner} 표현해 줘", "{picture|으로} 만들어 주세요", "{manner} 다시 그려 주세요",
        "{picture|이면} 좋겠어요",
    ),
    "background": (
        "배경을 {bg|으로} 바꿔 줘", "배경은 {bg|으로} 해 줘",
        "배경을 {bg|으로} 해 주세요", "배경이 {bg|이면} 좋겠어요",
        "{bg} 배경으로 그려 줘", "{bg} 배경으로 바꿔 주세요", "배경은 {bg|이면} 어떨까?",
        "배경을 {bg|으로} 변경해 주세요",
    ),
    "count": (
        "{many|을} 그려 줘", "{many|으로} 해 줘", "{many|으로} 바꿔 줘", "{many|이} 있으면 좋겠어요",
        "{many|으로} 그려 주세요", "{many|을} 보여 줘", "{many|이면} 어떨까?", "{many|으로} 늘려 주세요",
    ),
    "replace": (
        "{the} 대신 {a|을} 그려 줘", "{the|을} {a|으로} 바꿔 줘", "{the} 대신에 {a|을} 넣어 주세요",
        "{the|을} {a|으로} 바꿔 주세요", "{the} 말고 {a|을} 그려 줘", "{the} 자리에 {a|을} 그려 줘",
        "{the} 말고 {a|으로} 해 주세요", "{the|을} {a|으로} 교체해 줘",
    ),
    "move": (
        "{the|을} {other} {rel} 그려 줘", "{the|은} {other} {rel} 있어야 해",
        "{the|을} {other} {rel} 놓아 줘",
        "{the|이} {other} {rel} 있으면 좋겠어요", "{the|을} {other} {rel} 옮겨 줘",
        "{the|을} {other} {rel} 두세요",
        "{the|이} {other} {rel} 있게 해 줘", "{the|은} {other} {rel} 옮겨 주세요",
    ),
    "sign": (
        '"{w}"{q} 적힌 표지판을 추가해 줘', '"{w}"{q} 쓰인 표지판을 넣어 줘', '"{w}"{q} 적힌 팻말도 그려 줘',
        '"{w}"{q} 써 있는 간판을 넣어 주세요', '"{w}"{q} 적힌 표지판이 있으면 좋겠어요',
        '"{w}"{q} 쓰인 팻말을 세워 줘',
    ),
    "unsign": (
        "표지판을 빼 줘", "표지판을 없애 줘", "표지판은 지워 줘", "표지판 없이 그려 줘",
        "표지판을 제거해 주세요",
    ),
}  # fmt: skip

PLACES_KO: dict[str, tuple[str, ...]] = {
    "left of": ("왼쪽에", "{other} 왼쪽에", "{other} 왼편에"),
    "right of": ("오른쪽에", "{other} 오른쪽에", "{other} 오른편에"),
    "above": ("{other} 위쪽에", "위쪽에"),
    "below": ("{other} 아래에", "아래쪽에", "{other} 밑에"),
    "": ("",),
}
