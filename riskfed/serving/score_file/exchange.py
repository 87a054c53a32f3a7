"""One HTTP/1.1 request whose body and answer flow at the same time.

Scores come back while applicants are still being sent, and a service that holds little in memory stops reading when nobody takes its
answers. Clients that send the whole body first (httpx, urllib3) would then wait for ever, so this is h11 on asyncio's streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import h11

_CHUNK: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 20
_MOST_HEAD: Final = 1 << 16


class LostConnectionError(Exception):
    """The service cannot be reached, or the connection broke before the answer was whole."""


class UntrustedServiceError(Exception):
    """The service's certificate is not accepted, or it does not accept this side's."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the service is, and how it is talked to.

    Attributes:
        host: name or address.
        port: of the service.
        path: put before every path; empty, or such as ``/scoring`` behind a gateway.
        tls: None for plain HTTP.
        headers: sent with every request. Holds the API key, so it is left out of the representation.
        timeout: seconds to connect, and between two pieces of an answer.
    """

    host: str
    port: int
    path: str = ""
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and its body as it comes."""

    status: int
    headers: Mapping[str, str]
    lines: AsyncIterator[bytes]

    async def body(self, most: int = 1 << 24) -> bytes:
        """The whole body.

        Raises:
            LostConnectionError: it breaks off.
            ValueError: it is longer than `most` bytes.
        """
        whole = bytearray()
        async for line in self.lines:
            whole += line + b"\n"
            if len(whole) > most:
                raise ValueError(f"the answer is longer than {most} bytes")
        return bytes(whole)


@contextlib.asynccontextmanager
async def exchange(
    endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str] | None = None, lines: Iterable[bytes] = ()
) -> AsyncIterator[Answer]:
    """Send a request on a connection of its own; `lines` (each with its line end) are its body, taken as the service takes them.

    Raises:
        LostConnectionError: the service cannot be reached, or breaks off; so does reading the answer.
        UntrustedServiceError: TLS refuses; so does reading.
    """
    reader, writer = await _connect(endpoint)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
    sending = asyncio.create_task(_send(connection, writer, _head(endpoint, method, path, headers), lines))
    try:
        response = await _response(connection, reader, endpoint.timeout)
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        yield Answer(response.status_code, told, _lines(connection, reader, endpoint.timeout))
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1)


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        opening = asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls, limit=_LONGEST_LINE)
        return await asyncio.wait_for(opening, endpoint.timeout)
    except ssl.SSLCertVerificationError as error:
        raise UntrustedServiceError(f"its certificate is not accepted: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise UntrustedServiceError(f"TLS fails: {error.reason or 'no reason given'}") from None
    except TimeoutError:
        raise LostConnectionError(f"no connection within {endpoint.timeout:g} s") from None
    except OSError as error:
        raise LostConnectionError(error.strerror or "cannot be reached") from None


def _head(endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str] | None) -> h11.Request:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    sent = {"Host": f"{host}:{endpoint.port}", "Connection": "close", **endpoint.headers, **(headers or {})}
    if method == "POST":
        sent["Transfer-Encoding"] = "chunked"
    return h11.Request(method=method, target=f"{endpoint.path}{path}", headers=list(sent.items()))


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, head: h11.Request, lines: Iterable[bytes]
) -> None:
    # A service that refuses answers before it has read everything and hangs up; what it answered is what counts, so trouble here is quiet.
    with contextlib.suppress(OSError, h11.LocalProtocolError):
        writer.write(connection.send(head) or b"")
        chunk = bytearray()
        for line in lines:
            chunk += line
            if len(chunk) >= _CHUNK:
                writer.write(connection.send(h11.Data(data=bytes(chunk))) or b"")
                chunk.clear()
                await writer.drain()
        if chunk:
            writer.write(connection.send(h11.Data(data=bytes(chunk))) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()


async def _response(connection: h11.Connection, reader: asyncio.StreamReader, timeout: float) -> h11.Response:
    while True:
        event = await _event(connection, reader, timeout)
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise LostConnectionError("it hung up without an answer")


async def _lines(connection: h11.Connection, reader: asyncio.StreamReader, timeout: float) -> AsyncIterator[bytes]:
    rest = b""
    while isinstance(event := await _event(connection, reader, timeout), h11.Data):
        *whole, rest = (rest + bytes(event.data)).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > _LONGEST_LINE:
            raise LostConnectionError("it sent a line without an end")
    if not isinstance(event, h11.EndOfMessage):
        raise LostConnectionError("it hung up in the middle of its answer")
    if rest:
        yield rest


async def _event(connection: h11.Connection, reader: asyncio.StreamReader, timeout: float) -> object:
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(await asyncio.wait_for(reader.read(_CHUNK), timeout))
    except TimeoutError:
        raise LostConnectionError(f"no answer for {timeout:g} s") from None
    except (h11.RemoteProtocolError, ConnectionError):
        # Services that do not accept a client's certificate mostly just hang up, after the handshake (TLS 1.3): with a reset, if this
        # side had sent more by then.
        raise LostConnectionError(
            "it hung up; or it speaks no HTTP/1.1, or does not accept this side's certificate"
        ) from None
    except ssl.SSLError as error:  # TLS 1.3 refuses a client's certificate only once something is read
        raise UntrustedServiceError(f"it refuses TLS: {error.reason or 'no reason given'}") from None
    except OSError as error:
        raise LostConnectionError(error.strerror or "the connection broke") from None
    return event
