"""A file behind an http(s) address, downloaded within bounds of size and of time.

It travels to the Hub with the weights, and needs nothing but the standard library.
"""

import io
import socket
import tempfile
import time
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import IO, Any
from urllib.error import URLError
from urllib.request import (
    AbstractHTTPHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

ADDRESSES = ("http://", "https://")
MAX_BYTES = 2 * 2**30
# Of all redirects together, from the first connection to the last byte.
MAX_SECONDS = 600
# Without a byte.
MAX_IDLE_SECONDS = 60
BYTES_PER_READ = 2**20


def download(address: str) -> IO[bytes]:
    """Download a file; what is returned stands at its beginning, and is deleted when it is closed.

    Raises:
        OSError, ValueError, http.client.HTTPException: it cannot be downloaded, whole and within the bounds.
    """
    deadline = time.monotonic() + MAX_SECONDS
    file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    try:
        request = Request(address, headers={"User-Agent": "m4ser"})
        with _opener(deadline).open(request) as response:
            _copy(response, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _copy(response: HTTPResponse, file: IO[bytes]) -> None:
    received = response.length or 0  # as it is announced
    while received <= MAX_BYTES:
        if not (block := response.read(BYTES_PER_READ)):
            break
        received = file.tell() + len(block)
        file.write(block)
    if received > MAX_BYTES:
        raise OSError(f"it is larger than {MAX_BYTES / 2**30:g} GiB")
    if response.length:
        raise OSError(f"the connection ended {response.length} bytes too early")


def _opener(deadline: float) -> OpenerDirector:
    """Make an opener of http(s) alone: urllib's own takes files, FTP and data, too, and waits for each byte anew."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        UnknownHandler(),
        _Handler(deadline),
        _RedirectHandler(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _Handler(AbstractHTTPHandler):
    """Opens connections that end at a deadline, by `time.monotonic`."""

    def __init__(self, deadline: float):
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(partial(self._connection, HTTPConnection), request)

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(partial(self._connection, HTTPSConnection), request)

    http_request = https_request = AbstractHTTPHandler.do_request_

    def _connection(self, connection_class: type[HTTPConnection], host: str, **_: Any) -> HTTPConnection:
        connection = connection_class(host, timeout=_seconds_to_wait(self._deadline))
        connection.response_class = partial(_Response, self._deadline)  # type: ignore[assignment]  # it is called only
        return connection


class _RedirectHandler(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        fp.close()  # the parent class would read its body, however long
        if not newurl.startswith(ADDRESSES):
            raise URLError(f"it redirects to {newurl}, which is not an http(s) address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Response(HTTPResponse):
    """Reads until a deadline, status line and headers, too."""

    def __init__(self, deadline: float, sock: socket.socket, *args: Any, **kwargs: Any):
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_SocketReader(sock, deadline))


class _SocketReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float):
        self._socket, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(_seconds_to_wait(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _seconds_to_wait(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"it took longer than {MAX_SECONDS:g} s")
    return min(left, MAX_IDLE_SECONDS)
