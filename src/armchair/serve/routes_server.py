"""Models, results behind URLs, and the server's health."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from armchair.serve import errors, schemas
from armchair.serve.answers import RESULTS
from armchair.serve.asking import owner_of, service_of
from armchair.serve.keys import ANYONE
from armchair.serve.page.door import ROOT

router = APIRouter()


@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    """The page, where there is one."""
    if not service_of(request).settings.page:
        raise errors.no_url(request.method, "/")
    return RedirectResponse(ROOT, 307)


@router.get("/favicon.ico", include_in_schema=False)
async def icon() -> Response:
    """Browsers ask for it unasked."""
    return Response(status_code=204)


@router.get("/v1/models", responses=schemas.MODELS)
async def models(request: Request) -> Response:
    """The names that may be asked for."""
    catalog = service_of(request).catalog
    entries = [catalog.entry(name) for name in catalog.names()]
    return JSONResponse({"object": "list", "data": entries})


@router.get("/v1/models/{id:path}", responses=schemas.ONE_MODEL)
async def model(request: Request, id: str) -> Response:
    """One of them."""
    return JSONResponse(service_of(request).catalog.entry(id))


@router.delete("/v1/models/{id:path}", include_in_schema=False)
async def delete(id: str) -> Response:
    raise errors.forbidden("Models are not deleted over the API.")


@router.get(f"{RESULTS}{{name}}", responses=schemas.FILE)
async def result(request: Request, name: str) -> Response:
    """A picture by its URL, which is its own permission; with a key, only that of whoever drew it."""
    service = service_of(request)
    owner: str | None = owner_of(request)
    if owner == ANYONE:
        owner = None
    found = await service.store.get(name, owner)
    if found is None:
        raise errors.ApiError(404, "There is no such result: it may have been older than an hour.")
    data, media = found
    service.metrics.bytes.labels("out").inc(len(data))
    # private: a shared cache must not outlive the hour; the name alone is the permission
    return Response(data, media_type=media, headers={"cache-control": "private, max-age=3600"})


@router.get("/livez", responses=schemas.HEALTH)
async def livez() -> Response:
    """The server's loop runs."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", responses=schemas.HEALTH)
async def readyz(request: Request) -> Response:
    """A worker lives and has drawn with every model that it offers; 503 otherwise, and while draining."""
    service = service_of(request)
    pool = service.pool
    if service.draining or not pool.ready:
        status = (
            "draining" if service.draining else "no model loads" if pool.hopeless else "no worker is ready"
        )
        error = errors.overloaded(2).body()
        return JSONResponse({"status": status, **error}, 503, headers={"retry-after": "2"})
    body: dict[str, Any] = {
        "status": "ready",
        "workers": pool.ready,
        "models": sorted(service.catalog.bundles),
    }
    if pool.failed:
        body["failed"] = sorted(pool.failed)
    return JSONResponse(body)


@router.get("/metrics", responses=schemas.NUMBERS)
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    found = service_of(request).metrics
    return Response(found.text(), media_type=found.content_type)
