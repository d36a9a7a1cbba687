"""The application: routes, error handlers, what starts and stops with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from armchair.core.version import VERSION
from armchair.serve import errors, routes_images, routes_own, routes_server
from armchair.serve.front import Front, error_response
from armchair.serve.page.door import Page
from armchair.serve.service import Service


def build(service: Service) -> ASGIApp:
    """The ASGI application of a service."""

    page = Page(service) if service.settings.page else None

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[None]:
        await service.start()
        if page is not None:
            page.start()
        try:
            yield
        finally:
            if page is not None:
                await page.stop()
            await service.stop()

    app = FastAPI(
        title="Armchair",
        version=VERSION,
        summary="OpenAI's Images API over local DALL·E bundles, and more.",
        lifespan=life,
        docs_url=None,  # its page loads scripts from other machines
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    routers = [module.router for module in (routes_images, routes_own, routes_server)]
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(errors.ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    if service.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["x-request-id", "retry-after"],
        )
    _describe_keys(app)
    return Front(app, service, [route for router in routers for route in router.routes], page)


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ApiError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router itself says."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "").split(", ")
        response = error_response(errors.wrong_method(sorted(filter(None, allowed))))
        response.headers["allow"] = ", ".join(sorted(filter(None, allowed)))
        return response
    if error.status_code == 404:
        return error_response(errors.no_url(request.method, request.url.path))
    return error_response(errors.ApiError(error.status_code, str(error.detail)))


async def _fault(_: Request, error: Exception) -> Response:
    """A fault of ours, which goes on to the front and its log."""
    return error_response(errors.fault())


def _describe_keys(app: FastAPI) -> None:
    """OpenAPI: every route but those of health takes a bearer key."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        schema = plain()
        schema.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        if app.state.service.settings.keys:
            schema["security"] = [{"key": []}]
            for path in ("/livez", "/readyz"):
                schema["paths"][path]["get"]["security"] = []
        return schema

    app.openapi = described  # pyright: ignore[reportAttributeAccessIssue]
