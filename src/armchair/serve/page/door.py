"""The page's door: who may come in, in which language, and which of Gradio's addresses are open.

Gradio brings many addresses that the page does not use, some of which fetch what a caller names. Those that
the page uses are listed here, all others do not exist; and what would fetch anything is taken out.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.resources
import os
import re
import shutil
import tempfile
import time
from collections.abc import Coroutine
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from armchair.serve import errors
from armchair.serve.errors import ApiError
from armchair.serve.keys import ANYONE
from armchair.serve.page.desk import Desk
from armchair.serve.page.words import LANGUAGES, Words, preferred
from armchair.serve.service import Service

ROOT = "/ui"
COOKIE = "armchair_page"
STAY = 7 * 24 * 3600  # seconds that a person is let in for
UPLOAD = 20 * 2**20  # bytes of one picture
FORM = 4096  # bytes of what the door itself reads
OPEN = re.compile(
    r"|assets/.+|static/.+|theme\.css|config/?|favicon\.ico|robots\.txt"
    r"|gradio_api/(info|startup-events|heartbeat/\w+|queue/(join|data)|upload|upload_progress|cancel|reset/?"
    r"|component_server|app_id/?|file=/.+)"
)
OPEN_WHILE_SEEN = "gradio_api/heartbeat/"
# the page runs its own scripts and Gradio's, and speaks with this server alone
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
ICON = '<link rel="icon" href="data:,">'
PLAIN = """<!doctype html><html lang="{language}"><meta charset="utf-8"><title>Armchair</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">{head}
<style>body {{ font: 16px system-ui, sans-serif; max-width: 24rem; margin: 15vh auto; padding: 0 16px;
color-scheme: light dark }} input, button {{ font: inherit; padding: 8px; width: 100%; box-sizing: border-box;
margin-top: 8px }}</style><h1>Armchair</h1>{body}</html>"""


class Page:
    """An ASGI application for everything below /ui. It is built in a thread once the server runs."""

    def __init__(self, service: Service):
        self.service = service
        self.app: Any = None
        self.missing: str | None = None  # what is not installed
        self._folder = Path(tempfile.mkdtemp(prefix="armchair-page-"))
        self._building: asyncio.Task[None] | None = None
        self._life = contextlib.AsyncExitStack()

    def start(self) -> None:
        self._building = asyncio.create_task(self._build())

    async def stop(self) -> None:
        if self._building is not None:
            await asyncio.gather(self._building, return_exceptions=True)
        await self._life.aclose()
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError for whatever is not the page's."""
        request, headers = Request(scope, receive), Headers(scope=scope)
        path = scope["path"].removeprefix(ROOT).lstrip("/")
        language, _, rest = path.partition("/")
        words = Words(language if language in LANGUAGES else preferred(headers.get("accept-language", "")))
        if path == "login":
            response = await self._login(request, words)
        elif self._owner(request) is None:
            if request.method != "GET" or rest:
                raise errors.no_key()
            response = self._ask(words, "key_asked")
        elif self.missing is not None:
            raise ApiError(404, f"The page needs {self.missing}: pip install 'armchair[serve]'")
        elif language not in LANGUAGES or (not rest and not path.endswith("/")):
            if path not in {"", *LANGUAGES}:
                raise errors.no_url(request.method, scope["path"])
            response = RedirectResponse(f"{scope.get('root_path', '')}{ROOT}/{words.language}/", 307)
        elif self.app is None:
            body = f"<p>{escape(words('starting'))}</p>"
            head = '<meta http-equiv="refresh" content="1">'
            page = PLAIN.format(language=words.language, head=head, body=body)
            response = HTMLResponse(page, 503, headers={"retry-after": "1"})
        else:
            if OPEN.fullmatch(unquote(rest)) is None:
                raise errors.no_url(request.method, scope["path"])
            scope["armchair_owner"] = self._owner(request)
            answering = self.app(scope, receive, _guarded(send))
            await (self._until_draining(answering, send) if rest.startswith(OPEN_WHILE_SEEN) else answering)
            return
        await response(scope, receive, _guarded(send))

    async def _until_draining(self, answering: Coroutine[Any, Any, None], send: Send) -> None:
        """An answer that lasts as long as somebody looks at the page would keep the server from leaving."""
        task = asyncio.create_task(answering)
        try:
            while not self.service.draining:
                if (await asyncio.wait({task}, timeout=0.5))[0]:
                    return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _owner(self, request: Request) -> str | None:
        """Whose page this is; None for whoever has to show a key first."""
        keys = self.service.keys
        if not keys:
            return ANYONE
        return keys.admitted(request.cookies.get(COOKIE, ""), time.time())

    def _ask(self, words: Words, why: str) -> Response:
        body = (
            f"<p>{escape(words(why))}</p><form method=post action={ROOT}/login>"
            f"<label>{escape(words('key_label'))} <input type=password name=key required autofocus "
            f"autocomplete=current-password></label><button>{escape(words('key_enter'))}</button></form>"
        )
        return HTMLResponse(PLAIN.format(language=words.language, head="", body=body), 401)

    async def _login(self, request: Request, words: Words) -> Response:
        if request.method != "POST":
            return RedirectResponse(ROOT, 303)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM:
                raise errors.too_big(FORM)
        given = parse_qs(body.decode("utf-8", "replace")).get("key", [""])[0]
        try:
            cookie = self.service.keys.admit(given, time.time() + STAY)
        except ApiError:
            return self._ask(words, "key_wrong")
        response = RedirectResponse(ROOT, 303)
        secure = request.url.scheme == "https"
        response.set_cookie(
            COOKIE, cookie, max_age=STAY, path=ROOT, httponly=True, samesite="strict", secure=secure
        )
        return response

    async def _build(self) -> None:
        try:
            app = await asyncio.to_thread(build, self.service, self._folder)
            await self._life.enter_async_context(app.router.lifespan_context(app))
            self.app = app
        except ModuleNotFoundError as error:
            self.missing = error.name
            self.service.log("no page", missing=error.name)
        except Exception as error:
            self.missing = "a page that can be built, see the log"
            self.service.log("no page", error=f"{type(error).__name__}: {error}")


def build(service: Service, folder: Path) -> Any:
    """An application with one page a language. Raises ModuleNotFoundError without gradio."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    gr: Any = importlib.import_module("gradio")
    starlette: Any = importlib.import_module("fastapi")
    from armchair.serve.page.clicks import Clicks
    from armchair.serve.page.layout import CSS, FONTS, Layout

    fetch_nothing()
    brush = importlib.resources.files("armchair.serve.page").joinpath("brush.js").read_text(encoding="utf-8")
    head = f"{ICON}<script>{brush}</script>"
    app = starlette.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    theme = gr.themes.Soft(primary_hue="indigo", font=list(FONTS), font_mono=["ui-monospace", "monospace"])
    seconds = round(service.settings.url_seconds)
    desk = Desk(service, folder)
    for language in LANGUAGES:
        words = Words(language)
        with gr.Blocks(
            title="Armchair",
            analytics_enabled=False,
            fill_width=True,
            delete_cache=(max(1, seconds // 6), seconds),
        ) as blocks:
            layout = Layout(gr, words)
            clicks = Clicks(gr, layout, desk, words, owner_of)
            fresh = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
            blocks.load(clicks.refresh, layout.models, clicks.refreshed, **fresh)
        blocks.queue(default_concurrency_limit=None)
        gr.mount_gradio_app(
            app, blocks, f"{ROOT}/{language}", theme=theme, css=CSS, head=head, max_file_size=UPLOAD,
            show_error=False,
            footer_links=[], run_history=False, ssr_mode=False, enable_monitoring=False, pwa=False,
            mcp_server=False,
        )  # fmt: skip
    return app


def owner_of(request: Any) -> str:
    """Whose click it is."""
    return request.request.scope["armchair_owner"]


def fetch_nothing() -> None:
    """Gradio fetches addresses that come in a picture's place; here nothing is fetched for anybody."""
    processing: Any = importlib.import_module("gradio.processing_utils")

    async def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError("no address is fetched for a caller")

    def refuse_now(*_: Any, **__: Any) -> Any:
        raise PermissionError("no address is fetched for a caller")

    processing.async_ssrf_protected_get = processing.async_ssrf_protected_download = refuse
    processing.ssrf_protected_download = processing.save_url_to_cache = refuse_now


def _guarded(send: Send) -> Send:
    """Replies that no other page can frame and that load nothing from elsewhere."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = POLICY
            headers["referrer-policy"] = "same-origin"
        await send(message)

    return answer
