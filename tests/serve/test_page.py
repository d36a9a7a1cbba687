"""The page in a browser, as people use it: Debian's chromium without a window, moved by Playwright. No
request may leave this machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.serve.running import Running, png
from tests.serve.test_command import config, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not here", allow_module_level=True)

KEY = "sk-page-test-01"
PATIENCE = 60.0  # seconds: the browser shares two cores with everything else
LOCAL = {"127.0.0.1", "localhost"}
# where a reviewer wants to look at what was tested: a folder for screenshots
PICTURES = os.environ.get("ARMCHAIR_SCREENSHOTS")


class Served:
    """`armchair serve` with the scripted studio, and its page. keys: the first is ours"""

    def __init__(self, process: Any, base: str):
        self.process, self.base = process, base
        self.client = httpx.Client(base_url=base, timeout=60, trust_env=False)

    def metric(self, name: str) -> float:
        match = re.search(rf"^armchair_{re.escape(name)} ([\d.e+]+)$", self.client.get("/metrics").text, re.M)
        return 0.0 if match is None else float(match[1])

    @property
    def drawing(self) -> int:
        return self.client.get("/v1/armchair/queue").json()["drawing"]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The worker is busy until the block ends."""
        gate = Path(os.environ["FAKE_GATES"], "page")
        body = {"prompt": "gate page", "model": "dalle1"}
        thread = threading.Thread(
            target=self.client.post, args=("/v1/images/generations",), kwargs={"json": body}
        )
        thread.start()
        Running.until(lambda: self.drawing == 1)
        try:
            yield
        finally:
            gate.touch()
            thread.join()


@contextlib.contextmanager
def paged(folder: Path, **settings: Any) -> Iterator[Served]:
    """A server whose page is built: gradio takes some seconds, and the server does not wait for it."""
    with serving("--config", config(folder, page=True, codecs=2, **settings)) as (process, base):
        served = Served(process, base)
        with served.client:
            Running.until(lambda: served.client.get("/ui/en/").status_code != 503, 4 * PATIENCE)
            yield served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with paged(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def view(browser: Any) -> Iterator[Any]:
    """A page of a fresh browser; at its end nothing has left this machine and no script has failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    asked: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    context.close()
    assert asked
    away = [url for url in asked if not url.startswith(("data:", "blob:", "about:"))]
    assert {urlsplit(url).hostname for url in away} <= LOCAL
    assert not broken


def opened(view: Any, server: Served, path: str = "/") -> None:
    view.goto(server.base + path)
    view.wait_for_selector("[data-ready]")


def draw(view: Any, prompt: str) -> None:
    view.fill("#prompt textarea", prompt)
    view.click("#go_draw")


def settled(view: Any, model: str, how: str) -> dict[str, str]:
    """The settings of the chosen picture, once it is one that a model drew in this way."""
    view.wait_for_function(
        """([model, how]) => {
            const text = document.querySelector("#settings table")?.innerText ?? "";
            return text.includes(model) && text.includes(how) && !document.querySelector(".previews");
        }""",
        arg=[model, how],
    )
    cells = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    rows = view.eval_on_selector_all("#settings tr", cells)
    return dict(rows)


def keep(view: Any, name: str) -> None:
    if PICTURES is not None:
        view.screenshot(path=str(Path(PICTURES, f"{name}.png")))


def wide(view: Any) -> int:
    return view.evaluate("document.documentElement.scrollWidth")


def test_drawing_side_by_side_and_again(view: Any, server: Served):
    """Two models on one prompt, with previews and the queue while they draw; every setting is shown, and
    drawing with the same ones gives the same picture.
    """
    opened(view, server)
    assert view.url == f"{server.base}/ui/en/"
    view.get_by_label("dalle2").check()
    with server.held():
        draw(view, "a red apple pause 0.4")
        view.wait_for_selector("#progress >> text=in the queue")
    view.wait_for_selector("#progress .previews img")
    keep(view, "drawing")
    view.wait_for_selector("#slot0 img")
    view.wait_for_selector("#slot1 img")
    first = settled(view, "dalle1", "Draw")
    assert first["Prompt"] == "a red apple pause 0.4" and first["Seed"].isdigit()
    shown = view.get_attribute("#chosen img", "src")
    view.click("#again")
    view.wait_for_function("document.querySelector('#seed textarea, #seed input').value !== ''")
    view.click("#go_draw")
    view.wait_for_function("shown => document.querySelector('#chosen img').src !== shown", arg=shown)
    assert settled(view, "dalle1", "Draw")["Seed"] == first["Seed"]
    pictures = view.eval_on_selector_all("#gallery img", "images => images.map(image => image.src)")
    same = [httpx.get(pictures[place], trust_env=False).content for place in (0, 4)]
    assert len(pictures) == 8 and same[0] == same[1]
    view.click("#gallery button >> nth=7")
    assert settled(view, "dalle2", "Draw")["steps"] == "4"
    keep(view, "drawn")


def test_what_is_wrong_is_said(view: Any, server: Served):
    """On the page, in words, and the other model is drawn all the same."""
    opened(view, server)
    view.click("#go_draw")
    view.wait_for_selector("#progress [role=alert] >> text=Write a prompt first")
    view.get_by_label("dalle2").check()
    view.click("text=Settings")
    view.get_by_label("Steps").fill("3")
    draw(view, "a cat")
    view.wait_for_selector("#progress >> text=Unknown parameter: 'steps'")  # dalle1 has none
    assert settled(view, "dalle1", "Draw")
    view.wait_for_selector("#slot1 img")
    draw(view, "refuse this")
    view.wait_for_selector("#progress [role=alert] >> text=asks to be refused")


def test_from_one_picture_to_the_next(view: Any, server: Served):
    """Variations with one click, a painted mask, a larger canvas, a blend with its slider, a text diff."""
    opened(view, server)
    draw(view, "a hat")
    settled(view, "dalle1", "Draw")
    view.click("#to_vary")
    assert settled(view, "dalle2", "Variations")
    view.click("#to_inpaint")
    view.wait_for_selector("#brush .sheet[data-ready]")
    view.fill("#tab_inpaint textarea", "a green hat")
    view.click("#go_inpaint")
    view.wait_for_selector("#progress [role=alert] >> text=Paint over a part")
    view.locator("#brush canvas").scroll_into_view_if_needed()
    box = view.locator("#brush canvas").bounding_box()
    view.mouse.move(box["x"] + 60, box["y"] + 60)
    view.mouse.down()
    view.mouse.move(box["x"] + 160, box["y"] + 90, steps=4)
    view.mouse.up()
    keep(view, "painted")
    view.click("#go_inpaint")
    assert settled(view, "dalle2", "Inpaint")["Prompt"] == "a green hat"
    view.click("#to_outpaint")
    view.wait_for_selector("#tab_outpaint img")
    keep(view, "outpainting")
    view.click("#go_outpaint")
    assert settled(view, "dalle2", "Outpaint")["Size"] == "32x16"
    view.click("#to_blend_a")
    view.wait_for_selector("#tab_blend img")
    view.click("#gallery button >> nth=4")
    settled(view, "dalle2", "Variations")
    view.click("#to_blend_b")
    view.wait_for_function("document.querySelectorAll('#tab_blend img').length === 2")
    view.click("#go_blend")
    view.wait_for_selector("#frame img")
    middle = view.get_attribute("#frame img", "src")
    view.fill("#mix input[type=number]", "0")
    view.press("#mix input[type=number]", "Enter")
    view.wait_for_function("shown => document.querySelector('#frame img').src !== shown", arg=middle)
    keep(view, "blended")
    view.click("#to_diff")
    view.wait_for_selector("#tab_diff img")
    view.get_by_label("What it shows now").fill("a hat")
    view.get_by_label("What it should show").fill("a red hat")
    view.click("#go_diff")
    assert settled(view, "dalle2", "Text diff")["target"] == "a red hat"


def test_stopping_and_leaving_end_the_drawing(view: Any, server: Served):
    """The worker goes on with somebody else's."""
    opened(view, server)
    for leave in (lambda: view.click("#stop"), lambda: view.goto("about:blank")):
        cancelled = server.metric("cancelled_total")
        draw(view, "pause 5 steps")
        view.wait_for_selector("#stop")
        Running.until(lambda: server.drawing == 1)
        leave()
        Running.until(lambda before=cancelled: server.metric("cancelled_total") > before, 30)
        Running.until(lambda: server.drawing == 0, 10)


def test_a_phone_in_korean(browser: Any, server: Served):
    """390 pixels, a Korean browser: nothing sticks out, and the words are Korean."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, locale="ko-KR", has_touch=True, is_mobile=True
    )
    context.set_default_timeout(1000 * PATIENCE)
    view = context.new_page()
    opened(view, server)
    assert view.url.endswith("/ui/ko/")
    assert view.inner_text("#go_draw") == "그리기"
    draw(view, "모자")
    settled(view, "dalle1", "그리기")
    assert wide(view) <= 390
    keep(view, "phone")
    view.locator("#chosen").scroll_into_view_if_needed()
    keep(view, "phone-chosen")
    view.tap("#to_inpaint")
    view.wait_for_selector("#brush .sheet[data-ready]")
    assert wide(view) <= 390
    keep(view, "phone-brush")
    context.close()


def test_with_a_key_the_page_asks_for_it(view: Any, tmp_path: Path):
    """At the door, and nothing of gradio's is open before; a wrong key is told; what lets in is kept where no
    script can read it.
    """
    with paged(tmp_path, keys=[KEY]) as server:
        assert server.client.get("/ui/en/config").status_code == 401
        assert server.client.post("/ui/en/gradio_api/upload", files={"files": png()}).status_code == 401
        view.goto(server.base)
        view.fill("input[name=key]", "sk-wrong-wrong-wrong")
        view.click("button")
        view.wait_for_selector("text=not one of this server's")
        view.fill("input[name=key]", KEY)
        view.click("button")
        view.wait_for_selector("[data-ready]", timeout=4000 * PATIENCE)
        assert "armchair_page" not in view.evaluate("document.cookie")
        draw(view, "a cat")
        assert settled(view, "dalle1", "Draw")
        server.process.terminate()  # a page that somebody looks at does not hold it up
        assert server.process.wait(PATIENCE) == 0


def test_a_conversation(view: Any, server: Served):
    """Two turns with the same seed, the prompt that is drawn is shown, and may be changed and drawn again."""
    opened(view, server)
    view.click("#tab_talk-button")
    for number, text in enumerate(("a cat", "make it red"), 1):
        view.fill("#message textarea", text)
        view.click("#go_send")
        view.wait_for_function(
            'count => document.querySelectorAll("#conversation img").length === count', arg=number
        )
    assert view.input_value("#revised textarea") == "a cat then make it red"
    first, second = settled(view, "dalle2", "Draw"), view.input_value("#seed textarea")
    assert first["Seed"] == second and first["Prompt"] == "a cat then make it red"
    view.fill("#revised textarea", "a red cat")
    view.click("#redraw")
    view.wait_for_function('document.querySelectorAll("#conversation img").length === 3')
    changed = settled(view, "dalle2", "Draw")
    assert (changed["Seed"], changed["Prompt"]) == (second, "a red cat")
    keep(view, "chat")


def test_nothing_else_is_open(server: Served):
    """Addresses of gradio that fetch, proxy or edit do not exist; of this machine's files only the page's own
    are read; and where gradio would fetch what a caller names, it refuses.
    """
    url = f"{server.base}/livez"
    closed = [f"gradio_api/file={url}", f"gradio_api/proxy={url}", "gradio_api/vibe-code/", "monitoring"]
    closed += ["gradio_api/run-history/buckets", "gradio_api/api/draw", "gradio_api/call/draw/x", "login"]
    for path in closed:
        assert server.client.get(f"/ui/en/{path}").status_code == 404, path
    upload = {"files": ("a.png", png(), "image/png")}
    file = server.client.post("/ui/en/gradio_api/upload", files=upload).json()[0]
    assert server.client.get(f"/ui/en/gradio_api/file={file}").status_code == 200
    assert server.client.get("/ui/en/gradio_api/file=/etc/passwd").status_code in {403, 404}
    fetch = """
import asyncio
from armchair.serve.page.door import fetch_nothing
from gradio.blocks import processing_utils
fetch_nothing()
asyncio.run(processing_utils.async_ssrf_protected_download("http://192.0.2.1/a.png", "."))
"""
    done = subprocess.run([sys.executable, "-c", fetch], capture_output=True, text=True)
    assert "PermissionError: no address is fetched" in done.stderr
