"""The photograph in the body of a request, read no further than its limit."""

from collections.abc import AsyncIterator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from hparse_jax.errors import InputError


class TooLarge(InputError):
    """A body of more bytes than are allowed."""


async def read_photo_field(request: Request, max_bytes: int) -> bytes:
    """The file in the multipart field `photo`; it stays in memory.

    Raises TooLarge for a larger body, from its head alone where that tells, and InputError when it
    holds no such field.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise InputError(f"Content-Type: {kind[:40]}: send multipart/form-data with a field photo")
    parser = MultiPartParser(request.headers, _limited(request, max_bytes), max_files=1)
    parser.spool_max_size = max_bytes
    try:
        form = await parser.parse()
    except (MultiPartException, LookupError, UnicodeError) as error:
        reason = getattr(error, "message", None) or type(error).__name__
        raise InputError(f"not a readable form ({reason}); send a field photo") from error
    try:
        photo = form.get("photo")
        if not isinstance(photo, UploadFile):
            raise InputError("no file in the form's field photo; send one, with a file name")
        return await photo.read()
    finally:
        await form.close()


async def _limited(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    error = TooLarge(f"the body has more than {max_bytes} bytes; send a smaller photograph")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise error
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise error
        yield chunk
