"""What the page says, in English and in Korean."""

from __future__ import annotations

LANGUAGES = {"en": "English", "ko": "한국어"}

WORDS: dict[str, tuple[str, str]] = {
    "key_label": ("API key", "API 키"),
    "key_enter": ("Enter", "들어가기"),
    "key_asked": ("This server asks for an API key.", "이 서버는 API 키가 필요합니다."),
    "key_wrong": ("That key is not one of this server's.", "이 서버의 키가 아닙니다."),
    "starting": ("The page is being built; it comes by itself.", "페이지를 준비하고 있습니다. 곧 열립니다."),
    "loading": ("The models are being loaded ...", "모델을 불러오는 중입니다 ..."),
    "no_model": (
        "No model loads here: see the server's log.",
        "불러올 수 있는 모델이 없습니다. 서버 로그를 보세요.",
    ),
    "ready": ("Ready: {models}", "준비됨: {models}"),
    "lead": (
        "Draw with DALL·E 1, 2 and 3 on this machine.",
        "이 컴퓨터에서 DALL·E 1, 2, 3으로 그림을 그립니다.",
    ),
    "draw": ("Draw", "그리기"),
    "vary": ("Variations", "변형"),
    "inpaint": ("Inpaint", "부분 수정"),
    "outpaint": ("Outpaint", "바깥 그리기"),
    "blend": ("Blend", "섞기"),
    "diff": ("Text diff", "글로 바꾸기"),
    "complete": ("Complete", "이어 그리기"),
    "describe": ("Describe", "설명하기"),
    "talk": ("Chat", "대화"),
    "stop": ("Stop", "멈춤"),
    "prompt": ("Prompt", "프롬프트"),
    "prompt_hint": ("a red apple on a blue table", "파란 탁자 위의 빨간 사과"),
    "whole_hint": ("What the whole picture shows", "그림 전체가 보여 줄 것"),
    "models": ("Models, side by side", "모델 (나란히 비교)"),
    "model": ("Model", "모델"),
    "n": ("Pictures", "그림 수"),
    "seed": ("Seed", "시드"),
    "seed_hint": ("empty: a new one", "비우면 새로 고릅니다"),
    "size": ("Size", "크기"),
    "own_size": ("the model's own", "모델의 기본 크기"),
    "settings": ("Settings", "설정"),
    "steps": ("Steps", "스텝 수"),
    "guidance": ("Guidance (1 is off)", "가이던스 (1은 끔)"),
    "rerank": ("Draw so many, keep the best", "이만큼 그려 좋은 것만 남기기"),
    "usual_hint": ("empty: the model's own", "비우면 모델의 기본값"),
    "off_hint": ("empty: off", "비우면 끔"),
    "more": ("More options, as in temperature=0.9, top_k=64", "다른 옵션, 예: temperature=0.9, top_k=64"),
    "expand": ("Write the prompt out first", "프롬프트를 길게 풀어 쓰기"),
    "expand_now": ("Write it out", "길게 풀어 쓰기"),
    "picture": ("Picture", "그림"),
    "upload": ("Drop a picture here, or click", "그림을 끌어다 놓거나 눌러서 고르세요"),
    "picture_a": ("From", "처음 그림"),
    "picture_b": ("To", "나중 그림"),
    "frames": ("Frames", "장면 수"),
    "between": ("Between the two", "두 그림 사이"),
    "brush": ("Paint over what is to be drawn anew; brush", "새로 그릴 곳을 칠하세요. 붓 크기"),
    "clear": ("Clear", "지우기"),
    "canvas": ("Canvas", "캔버스 크기"),
    "anchor": ("Where the picture lies", "그림의 자리"),
    "keep_rows": ("Rows of codes that stay (0: half)", "남길 코드 줄 수 (0: 절반)"),
    "source": ("What it shows now", "지금 보이는 것"),
    "target": ("What it should show", "보여야 할 것"),
    "long": ("A long description", "긴 설명"),
    "description": ("Description", "설명"),
    "gallery": ("Gallery", "갤러리"),
    "chosen": ("Chosen picture", "고른 그림"),
    "nothing": (
        "Choose a picture to see how it was drawn.",
        "그림을 고르면 어떻게 그렸는지 볼 수 있습니다.",
    ),
    "use_again": ("Use again", "이 설정 다시 쓰기"),
    "to_vary": ("Variations", "변형 만들기"),
    "to_inpaint": ("Inpaint", "부분 수정"),
    "to_outpaint": ("Outpaint", "바깥 그리기"),
    "to_blend_a": ("Blend from", "섞기: 처음"),
    "to_blend_b": ("Blend to", "섞기: 나중"),
    "to_diff": ("Text diff", "글로 바꾸기"),
    "to_complete": ("Complete", "이어 그리기"),
    "to_describe": ("Describe", "설명하기"),
    "message": ("Message", "메시지"),
    "message_hint": ("Draw me an armchair for a cat", "고양이를 위한 안락의자를 그려 줘"),
    "send": ("Send", "보내기"),
    "revised": (
        "The prompt that is drawn; change it and draw again",
        "실제로 그린 프롬프트 (고쳐서 다시 그릴 수 있습니다)",
    ),
    "redraw": ("Draw this prompt", "이 프롬프트로 그리기"),
    "new_chat": ("New conversation", "새 대화"),
    "waiting": (
        "waiting, number {position} in the queue, about {seconds}",
        "대기 {position}번째, 약 {seconds}",
    ),
    "drawing": (
        "drawing, step {step} of {steps}, about {seconds}",
        "그리는 중, {steps}스텝 중 {step}, 약 {seconds}",
    ),
    "begins": ("drawing", "그리는 중"),
    "done": ("done in {seconds}", "완료, {seconds}"),
    "seconds": ("{count} s", "{count}초"),
    "need_prompt": ("Write a prompt first.", "먼저 프롬프트를 쓰세요."),
    "need_model": ("Choose a model first.", "먼저 모델을 고르세요."),
    "need_picture": ("Choose a picture first.", "먼저 그림을 고르세요."),
    "need_mask": (
        "Paint over a part of the picture first: that part is drawn anew.",
        "먼저 그림의 일부를 칠하세요. 그 부분을 새로 그립니다.",
    ),
    "need_option": ("{text}: write options as name=value", "{text}: 옵션은 이름=값으로 쓰세요"),
    "gone": ("This picture is no longer here; draw it again.", "이 그림은 이제 없습니다. 다시 그리세요."),
    "most_models": (
        "At most {most} models are drawn side by side.",
        "모델은 {most}개까지 나란히 그릴 수 있습니다.",
    ),
    "fault": (
        "Something went wrong here; the server's log knows more.",
        "문제가 생겼습니다. 서버 로그를 보세요.",
    ),
    # the settings of a picture, and what else a person should know
    "bundle": ("Model", "모델"),
    "operation": ("How", "방법"),
    "revised_prompt": ("Drawn prompt", "그린 프롬프트"),
    "drawn_in": ("Seconds", "걸린 초"),
    "notes": ("Note", "알림"),
}


class Words:
    """The texts of one language: words("draw")."""

    def __init__(self, language: str):
        self.language = language
        self._place = list(LANGUAGES).index(language)

    def __call__(self, name: str, **values: object) -> str:
        text = WORDS[name][self._place]
        return text.format(**values) if values else text


def preferred(header: str) -> str:
    """The language of an Accept-Language header that we speak and it likes best; English where none."""
    best, weight = "en", 0.0
    for entry in header.split(","):
        name, _, rest = entry.strip().partition(";")
        try:
            liked = float(rest.strip().removeprefix("q=")) if rest.strip() else 1.0
        except ValueError:
            continue
        short = name.split("-")[0].lower()
        if short in LANGUAGES and liked > weight:
            best, weight = short, liked
    return best
