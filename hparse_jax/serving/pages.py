"""The page, the documentation of the interface, and the files that they are made of."""

import pathlib

from fastapi import FastAPI, HTTPException, Response

_FOLDER = pathlib.Path(__file__).parent / "page"
_TYPES = {  # not left to the machine's own table
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {"Cache-Control": "no-cache"}


def add_pages(app: FastAPI) -> None:
    """Adds `/`, `/docs` and `/page/FILE`; the files are read once, here."""
    files = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.is_file()}

    def answer(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "no such page")
        kind = _TYPES[pathlib.PurePath(name).suffix]
        return Response(files[name], media_type=kind, headers=_HEADERS)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return answer("index.html")

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> Response:
        return answer("docs.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return answer(name)
