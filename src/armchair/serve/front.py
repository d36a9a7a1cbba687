"""Around every request: its id, whose it is, one log line, the counters, and JSON for whatever went wrong."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from armchair.serve import errors
from armchair.serve.answers import RESULTS
from armchair.serve.asking import GONE
from armchair.serve.errors import ApiError
from armchair.serve.http import LONGEST_HEAD
from armchair.serve.keys import ANYONE
from armchair.serve.page.door import ROOT, Page
from armchair.serve.service import Service

OPEN = ("/", "/favicon.ico", "/livez", "/readyz", "/openapi.json")  # answered without a key
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
CHOSEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


def error_response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, headers=error.headers())


class Front:
    """The outermost layer of the application. A reply leaves as JSON or not at all."""

    def __init__(self, app: ASGIApp, service: Service, routes: list[Any], page: Page | None = None):
        self.app, self.service, self.routes, self.page = app, service, routes, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, headers = time.perf_counter(), Headers(scope=scope)
        id = scope["armchair_id"] = request_id(headers)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = MutableHeaders(scope=message)
                extra["x-request-id"] = id
                extra["x-content-type-options"] = "nosniff"
                extra["openai-version"] = "2020-10-01"
                extra["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
            await send(message)

        try:
            if int_or_zero(headers.get("x-stainless-retry-count")):
                self.service.metrics.retries.inc()
            self.admit(scope, headers)
            page = self.page if self.is_page(scope["path"]) else None
            await (self.app if page is None else page)(scope, receive, answer)
        except ApiError as error:
            if status == 0:
                await error_response(error)(scope, receive, answer)
        except ClientDisconnect:
            status = GONE
        except Exception as error:  # a fault of ours: the log knows where, the caller only that
            self.service.log(
                "fault", request=id, error=f"{type(error).__name__}: {error}", where=place(error)
            )
            if status == 0:
                await error_response(errors.fault())(scope, receive, answer)
        finally:
            self.note(scope, id, status, time.perf_counter() - began)

    def admit(self, scope: Scope, headers: Headers) -> None:
        """Whose request this is. Raises ApiError 401 for a wrong key, 403 for a web page that is not ours."""
        path = scope["path"]
        scope["armchair_owner"] = ANYONE
        if sum(len(name) + len(value) for name, value in scope["headers"]) + len(path) > LONGEST_HEAD:
            raise errors.head_too_large()  # one that arrives in one piece passes the parser
        settings = self.service.settings
        origin = headers.get("origin")
        if origin is not None and origin not in settings.cors and not same_site(origin, headers.get("host")):
            raise errors.forbidden("Web pages of other origins may not call this server.")
        if scope["method"] == "OPTIONS" and origin in settings.cors:
            return  # a browser asks first, and without the key
        if not self.service.keys:
            if host_of(headers.get("host")) not in LOCAL:
                # a name that resolves to this machine lets a web page in by the back door
                raise errors.forbidden("Without an API key only requests to localhost are answered.")
        elif path.startswith(RESULTS):
            if "authorization" in headers:
                scope["armchair_owner"] = self.service.keys.owner(headers["authorization"])
        elif path not in OPEN and not self.is_page(path):  # which asks for the key itself
            scope["armchair_owner"] = self.service.keys.owner(headers.get("authorization"))

    def is_page(self, path: str) -> bool:
        return self.page is not None and (path == ROOT or path.startswith(f"{ROOT}/"))

    def note(self, scope: Scope, id: str, status: int, seconds: float) -> None:
        route, method = self.route(scope), scope["method"] if scope["method"] in METHODS else "OTHER"
        self.service.metrics.requests.labels(route, method, str(status)).inc()
        self.service.metrics.seconds.labels(route).observe(seconds)
        owner = scope.get("armchair_owner", ANYONE)
        self.service.log(
            "request",
            request=id,
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            key=owner,
        )

    def route(self, scope: Scope) -> str:
        """The route's pattern: a path would let callers choose labels."""
        if self.is_page(scope["path"]):
            return ROOT
        for route in self.routes:
            if route.matches(scope)[0] != Match.NONE:
                return route.path
        return "unknown"


METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})


def request_id(headers: Headers) -> str:
    """The caller's own where it is a decent one, else a new one."""
    chosen = headers.get("x-request-id", "")
    return chosen if CHOSEN_ID.fullmatch(chosen) else f"req_{secrets.token_hex(16)}"


def host_of(header: str | None) -> str | None:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def same_site(origin: str, host: str | None) -> bool:
    try:
        return host is not None and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def int_or_zero(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0


def place(error: BaseException) -> str:
    """Where in our code it was raised: file and line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
