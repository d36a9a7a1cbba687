"""A language model of the person's as the prompt writer: any OpenAI-compatible endpoint, or a folder of a
transformers model on this machine.

Nothing is sent anywhere but to the address that the person names. Timeouts, refusals and nonsense leave the
person's own words, and say so.
"""

from __future__ import annotations

import functools
import http.client
import importlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from typing import Any

from armchair.artist.expansion import Expansion
from armchair.core.errors import MissingDependency
from armchair.data.world.reading import read
from armchair.text.words import has_hangul

TIMEOUT = 60.0  # seconds for a whole answer, however it trickles in
LARGEST = 2**20  # bytes of an answer that are read, at most
LEAST, MOST = 15, 80  # words of a description (DALL·E 3, appendix C)
KEY = "ARMCHAIR_LLM_KEY"  # the environment variable with the endpoint's key, where it needs one
TOKENS = 400  # of an answer, at most
VARIED = 0.4  # share of an answer's words that differ, at least: less is a model that has lost its thread
FAILURES = (  # of an endpoint that breaks off or says what it should not, and of a model that cannot run
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    http.client.HTTPException,
)

RULES = """You write the descriptions from which a painter who sees nothing else makes one picture.
For every request, answer with exactly one description of one picture and nothing around it: no greeting, no
quotation marks, no list, no second version.
Turn short requests into detailed ones: say what is there, its colours and how many there are, where things
are to each other, the surroundings, the background and the style. Keep everything the person named, with its
colour and number, and add no other main subject.
When a description and a wish to change it are given, write the whole description anew with the change in it;
do not merely append to it. When the wish is for another picture, forget the description.
Use {least} to {most} words. {language}"""
LANGUAGES = {
    "en": "Write in English, and translate requests in other languages.",
    "ko": "Write in Korean.",
    None: "Write in the language of the request.",
}

_REFUSAL = re.compile(
    r"\b(?:i can(?:'|no|’)?t|i cannot|i can not|i am unable|i'm unable|i'm sorry|i am sorry|as an ai|i won't|"
    r"not able to (?:help|assist|create))\b|죄송|할 수 없습니다|도와드릴 수 없",
    re.IGNORECASE,
)


def ask(writer: str, request: str, *, before: str | None = None, language: str | None = None) -> Expansion:
    """A description from a language model. writer: an address, with #MODEL behind it where the endpoint has
    several, or a folder; before: the description that the request changes.
    """
    messages = [
        {"role": "system", "content": rules(language)},
        {"role": "user", "content": request if before is None else f"Description: {before}\nWish: {request}"},
    ]
    try:
        answer = endpoint(writer, messages) if "://" in writer else local(writer, messages)
    except FAILURES as error:
        reason = getattr(error, "reason", error)
        return Expansion(text=None, by=writer, note=own(f"{name(writer)} does not answer ({reason})"))
    text = cleaned(answer)
    fault = fault_of(text, request if before is None else "", language)
    if fault is not None:
        return Expansion(text=None, by=writer, note=own(f"{name(writer)} {fault}"))
    return Expansion(text=shortened(text), by=writer)


def rules(language: str | None) -> str:
    return RULES.format(least=LEAST, most=MOST, language=LANGUAGES[language])


def endpoint(address: str, messages: list[dict[str, str]]) -> str:
    """One answer of `/chat/completions`. Raises OSError and ValueError for whatever goes wrong."""
    base, _, model = address.partition("#")
    base = base.rstrip("/")
    if not model:
        model = str(_call(f"{base}/models", None)["data"][0]["id"])
    body = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": TOKENS, "seed": 0}
    return str(_call(f"{base}/chat/completions", body)["choices"][0]["message"]["content"])


def _call(url: str, body: dict[str, Any] | None) -> Any:
    headers = {"Content-Type": "application/json", "User-Agent": "armchair"}
    key = os.environ.get(KEY)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=TIMEOUT) as answer:
            return json.loads(_read(answer, time.monotonic() + TIMEOUT))
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"status {error.code}") from None


def _read(answer: http.client.HTTPResponse, until: float) -> bytes:
    """All of an answer. Raises OSError for one that is too long, or not there at the time `until`."""
    data = b""
    while part := answer.read1(2**16):
        data += part
        if len(data) > LARGEST:
            raise OSError(f"more than {LARGEST:,} bytes")
        if time.monotonic() > until:
            raise TimeoutError("timed out")
    if answer.length:  # of what the header promises something did not come
        raise http.client.IncompleteRead(data, answer.length)
    return data


def local(folder: str, messages: list[dict[str, str]]) -> str:
    """One answer of a transformers model. Raises MissingDependency without transformers, OSError for a folder
    that holds none.
    """
    tokenizer, model = _local(folder)
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    told = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return str(tokenizer.decode(told[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


@functools.cache
def _local(folder: str) -> tuple[Any, Any]:
    try:
        library: Any = importlib.import_module("transformers")
    except ImportError:
        raise MissingDependency("transformers", "llm") from None
    tokenizer = library.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer, library.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)


def cleaned(answer: str) -> str:
    """An answer without thoughts, quotation marks, a heading and line ends."""
    text = re.sub(r"<think>.*?</think>", " ", answer, flags=re.DOTALL)
    text = re.sub(r"^\s*(?:\*\*)?(?:description|caption|prompt|설명)(?:\*\*)?\s*:\s*", "", text, flags=re.I)
    return " ".join(text.split()).strip(" \"'“”*`")


def fault_of(text: str, request: str, language: str | None) -> str | None:
    """Why an answer is no good; None for a good one."""
    if not text:
        return "answers nothing"
    if _REFUSAL.search(text):
        return "refuses"
    words = text.lower().split()
    if len(words) < LEAST // 2:
        return f"answers with too few words ({text[:40]!r})"
    if len(set(words)) < VARIED * len(words) or not any(map(str.isalpha, text)):
        return f"answers with nonsense ({text[:40]!r})"
    if language == "en" and has_hangul(text):
        return "answers in Korean, which this model does not read"
    lost = {thing.concept for thing in read(request).things} - {t.concept for t in read(text).things}
    if lost:
        return f"leaves out {', '.join(sorted(lost))}"
    return None


def shortened(text: str) -> str:
    """At most 80 words, cut behind a sentence where one ends."""
    words = text.split()
    if len(words) <= MOST:
        return text
    kept = " ".join(words[:MOST])
    end = max(kept.rfind(mark) for mark in ".!?")
    return kept[: end + 1] if end > len(kept) // 2 else kept


def name(writer: str) -> str:
    """A writer as a note tells it, without what may be secret in an address."""
    return re.sub(r"//[^/@]*@", "//", writer.partition("?")[0])


def own(reason: str) -> str:
    return f"the prompt was not written out: {reason}; your own words are drawn"
