"""The HTTP interface: what is asked and answered where."""

import asyncio
import contextlib
import dataclasses
import hmac
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from hparse_jax.coco import categories
from hparse_jax.errors import InputError
from hparse_jax.inference.photos import TooManyPixels
from hparse_jax.inference.predictor import Predictor
from hparse_jax.serving.answer import FORMATS, JSON, PNG, ZIP, NotAcceptable, wanted
from hparse_jax.serving.body import TooLarge, read_photo_field
from hparse_jax.serving.metrics import CONTENT_TYPE, Metrics
from hparse_jax.serving.observed import Observed
from hparse_jax.serving.pages import add_pages
from hparse_jax.serving.worker import Job, Worker

_STATUS = {TooLarge: 413, TooManyPixels: 413, NotAcceptable: 406}  # any other InputError: 400
_HUNG_UP = 499  # nginx's number for it: the metrics count what nobody reads
_ERRORS = {
    400: "A broken photograph, or a query that asks for something unknown.",
    401: "The token is missing or wrong.",
    406: "Accept names no media type that is served.",
    408: "The photograph was sent too slowly.",
    413: "The body or the photograph is too large.",
    503: "Too many photographs wait, or the service is not ready; see Retry-After.",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What is wrong, in one line."}},
}
_BODY = {
    "type": "object",
    "required": ["photo"],
    "properties": {
        "photo": {
            "type": "string",
            "format": "binary",
            "description": "A photograph: BMP, GIF, JPEG, PNG, TIFF or WebP.",
        }
    },
}
_ANSWERS = {
    "description": "What `hparse predict` writes: its JSON, by default; its PNG, an indexed map of "
    "node ids of the first level asked for; or a zip of its files, as Accept says.",
    "content": {
        JSON: {"schema": {"type": "object"}},
        PNG: {"schema": {"type": "string", "format": "binary"}},
        ZIP: {"schema": {"type": "string", "format": "binary"}},
    },
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of a request: bytes of its body, pixels of its photograph, seconds until it is answered.

    photographs: how many are accepted at a time, the ones being sent included.
    """

    bytes: int = 16 * 2**20
    pixels: int = 40_000_000
    seconds: int | float = 60
    photographs: int = 64


class Refused(HTTPException):
    """An answer that is not the one asked for: a status, and why in one line."""


def make_app(
    predictor: Predictor,
    worker: Worker,
    metrics: Metrics,
    limits: Limits,
    token: str | None = None,
) -> Observed:
    """The service as an ASGI application.

    predictor: what the worker parses with; its `consistent` is the default of the query's. worker:
    started and stopped by the caller. token: what clients must show, except for the page, the
    documentation and the state of health.
    """
    bearer = HTTPBearer(auto_error=False, description="the value of `hparse serve --token`")
    app = FastAPI(
        title="hparse",
        version="1",  # of the interface, as in its paths
        description="Human parsing: every pixel of a photograph of people gets a label.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
    )
    model = describe_model(predictor, limits)
    origin = {"step": predictor.step}
    accepted = 0

    def authorised(
        shown: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        credentials = shown.credentials if shown else ""
        if not hmac.compare_digest(credentials.encode(), token.encode()):
            raise Refused(
                401, "give the token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
            )

    @contextlib.contextmanager
    def one_of_the_accepted() -> Iterator[None]:
        nonlocal accepted
        if not worker.ready.is_set():
            raise Refused(503, "not ready: programs are being compiled", {"Retry-After": "5"})
        if accepted >= limits.photographs:
            raise Refused(503, f"{accepted} photographs wait; try again", {"Retry-After": "1"})
        accepted += 1
        metrics.queue_length.set(accepted)
        try:
            yield
        finally:
            accepted -= 1
            metrics.queue_length.set(accepted)

    # without a token the interface asks for none
    guarded, with_token = ([Depends(authorised)], _errors(401)) if token else ([], {})

    @app.post(
        "/v1/parse",
        dependencies=guarded,
        response_class=Response,
        responses={200: _ANSWERS} | _errors(400, 406, 408, 413, 503) | with_token,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"multipart/form-data": {"schema": _BODY}},
            }
        },
    )
    async def parse(
        request: Request,
        levels: Annotated[
            str, Query(description="Names of levels, comma-separated; default: all.")
        ] = "",
        formats: Annotated[
            str,
            Query(description=f"Of {', '.join(FORMATS)}; default: json, in a zip all of them."),
        ] = "",
        classes: Annotated[
            str, Query(description="Names of classes to list and paint; default: all.")
        ] = "",
        consistent: Annotated[
            bool, Query(description="Levels that never contradict each other.")
        ] = predictor.consistent,
    ) -> Response:
        """Parses a photograph: sizes, classes, boxes, shares and gates."""
        accept = request.headers.get("accept", "")
        asked = wanted(predictor.hierarchy, accept, levels, formats, classes)
        photo = b""
        try:
            with one_of_the_accepted():
                async with asyncio.timeout(limits.seconds):
                    photo = await read_photo_field(request, limits.bytes)
                    job = Job(
                        photo,
                        consistent,
                        lambda result: asked.body(result, photo, origin, limits.pixels),
                    )
                    worker.submit(job)
                    body = await _answer_of(job, request)
        except ClientDisconnect:
            return Response(status_code=_HUNG_UP)
        except TimeoutError:
            late = f"after {limits.seconds:g} s"
            if not photo:
                raise Refused(408, f"the photograph is not here {late}; send it faster") from None
            raise Refused(503, f"no answer {late}; try again", {"Retry-After": "5"}) from None
        return Response(body, media_type=asked.media_type, headers={"Cache-Control": "no-store"})

    @app.get("/v1/model", dependencies=guarded, responses=with_token)
    async def get_model() -> dict:
        """Levels, classes, colours and COCO categories of the parser, and the limits."""
        return model

    @app.get("/metrics", dependencies=guarded, response_class=Response, responses=with_token)
    async def get_metrics() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/healthz")
    async def get_health() -> dict:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses=_errors(503))
    async def get_readiness() -> dict:
        """Whether photographs are accepted: all programs are compiled."""
        if not worker.ready.is_set():
            raise Refused(503, "not ready: programs are being compiled", {"Retry-After": "5"})
        return {"status": "ready"}

    add_pages(app)
    _answer_errors_in_one_line(app)
    return Observed(app, metrics)


async def _answer_of(job: Job, request: Request) -> bytes:
    """The worker's answer. Raises its InputError, and ClientDisconnect when the client is gone."""
    done = asyncio.wrap_future(job.done)
    gone = asyncio.ensure_future(request.receive())  # after the body nothing else can come
    try:
        await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise ClientDisconnect
        return done.result()
    finally:
        gone.cancel()
        done.cancel()  # when nobody waits for it any longer, the worker passes it over


def describe_model(predictor: Predictor, limits: Limits) -> dict:
    """What clients need to know of the parser, ready for JSON.

    {"network", "hierarchy", "step", "levels": [{"name", "nodes": [{"id", "name",
    "parent", "colour"}]}], "categories", "formats", "consistent", "limits"}. parent: a node id of
    the next level, null at the last one. categories: COCO's.
    """
    hierarchy = predictor.hierarchy
    levels = []
    for depth, level in enumerate(hierarchy.levels):
        parents = level.parents or [None] * len(level.nodes)
        colours = hierarchy.palette_at(depth).tolist()
        nodes = [
            {"id": i, "name": name, "parent": parent, "colour": colour}
            for i, (name, parent, colour) in enumerate(
                zip(level.nodes, parents, colours, strict=True)
            )
        ]
        levels.append({"name": level.name, "nodes": nodes})
    return {
        "network": predictor.config.model.name,
        "hierarchy": hierarchy.name,
        "step": predictor.step,
        "levels": levels,
        "categories": categories(hierarchy),
        "formats": list(FORMATS),
        "consistent": predictor.consistent,
        "limits": dataclasses.asdict(limits),
    }


def _errors(*statuses: int) -> dict:
    return {
        status: {"description": _ERRORS[status], "content": {JSON: {"schema": _ERROR}}}
        for status in statuses
    }


def _answer_errors_in_one_line(app: FastAPI) -> None:
    """Every error is JSON, {"error": one line}."""

    @app.exception_handler(InputError)
    async def wrong_input(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, _STATUS.get(type(error), 400))

    @app.exception_handler(RequestValidationError)
    async def wrong_query(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 400)

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the service failed; its log says why"}, 500)
