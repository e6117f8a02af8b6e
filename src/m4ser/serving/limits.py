"""No request's body is longer than allowed, whatever its header says."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that stops reading a body that is too long: status 413.

    Args:
        max_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int):
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = dict(scope.get("headers", ())).get(b"content-length", b"")
        is_too_long = announced.isdigit() and int(announced) > self._max_bytes
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if is_too_long or received > self._max_bytes:
                raise HTTPException(413, f"The upload is larger than {self._max_bytes / 2**20:g} MB.")
            return message

        await self._app(scope, limited, send)
