"""Many connections that stay open, held by processes of their own: as many as it takes when one may not have so many
descriptors."""

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import resource
import selectors
import socket
import ssl
from collections.abc import Iterator

# Descriptors of a client process, and of a proxy, that are no connections.
SPARE = 400
# Of one address of ours to one of a proxy's there are as many as Linux has ports for it: 28,232 by default.
PORTS = 20_000
MOST = 250 * PORTS
DEADLINE = 120.0


@dataclasses.dataclass(frozen=True)
class Asked:
    """What each connection asks for, and how the answer begins."""

    request: bytes
    status: bytes
    tls: bool = False
    # Whether the answer goes on, and is read.
    streams: bool = False


def descriptors() -> int:
    """How many this process, and those that it starts, may have each."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return limit


@contextlib.contextmanager
def opened(port: int, asked: Asked, count: int) -> Iterator[None]:
    """So many connections, all of which were answered."""
    share = min(descriptors() - SPARE, PORTS)
    context = multiprocessing.get_context("fork")
    holders = []
    try:
        for first in range(0, count, share):
            ours, theirs = context.Pipe()
            numbers = range(first, min(count, first + share))
            holder = context.Process(target=hold, args=(theirs, port, asked, numbers), daemon=True)
            holder.start()
            theirs.close()
            holders.append((holder, ours))
        for _, pipe in holders:
            told = pipe.recv() if pipe.poll(DEADLINE) else "not all connections were answered in time"
            if told is not None:
                raise SystemExit(told)
        yield
        for holder, pipe in holders:
            if not holder.is_alive():
                raise SystemExit(pipe.recv() if pipe.poll() else "a client died")
    finally:
        for _, pipe in holders:
            with contextlib.suppress(OSError):
                pipe.send(None)
        for holder, _ in holders:
            holder.join(DEADLINE)


def hold(pipe: multiprocessing.connection.Connection, port: int, asked: Asked, numbers: range) -> None:
    """The life of a client process: until something comes through the pipe, if only its end."""
    context = None
    if asked.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            connections = []
            for number in numbers:
                connections.append(open_one(port, context, asked, number))
                if asked.streams:
                    selector.register(connections[-1], selectors.EVENT_READ)
                    read(selector, 0)
            pipe.send(None)
            while read(selector, None):
                pass
            for connection in connections:
                connection.close()
    except (OSError, EOFError, ValueError) as error:
        with contextlib.suppress(OSError):
            pipe.send(f"{type(error).__name__}: {error}")


def read(selector: selectors.BaseSelector, timeout: float | None) -> bool:
    """Takes what came. False when it is time to leave."""
    for key, _ in selector.select(timeout):
        if not isinstance(key.fileobj, socket.socket):
            return False
        if not key.fileobj.recv(65536):
            raise EOFError("a stream ended")
    return True


def open_one(port: int, context: ssl.SSLContext | None, asked: Asked, number: int) -> socket.socket:
    connection = socket.socket()
    # The port is chosen when it is known where to: only then may it be one that another connection has.
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((f"127.0.0.{1 + number // PORTS}", 0))
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    if context:
        connection = context.wrap_socket(connection)
    connection.sendall(asked.request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece:
            raise EOFError(f"a connection was closed instead of answered: {answer!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 " + asked.status):
        raise ValueError(f"not the answer that was asked for: {answer!r}")
    return connection


# Of linux/in.h; Python has no name for it before 3.12.
IP_BIND_ADDRESS_NO_PORT = 24
