"""The command behind tests/bench/idle."""

import argparse
import pathlib
import resource
import socket
import ssl
import sys
import tempfile
import time

from cases import Site
from fronts import USUAL, Front, fronts, versions
from words import choices

GET = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
KINDS = {
    "plain": ("one request each, then silence", Site(), GET, b"200"),
    "tls": ("the same inside TLS 1.3", Site(tls=True), GET, b"200"),
    "tunnel": ("WebSockets in which nobody speaks", Site(tunnels=True), UPGRADE, b"101"),
}
# When the memory of silent connections, and what closed ones left, is looked at: seconds.
SETTLED = 10.0


def main() -> None:
    wanted = arguments()
    known = versions(wanted.only)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    print("| connections | proxy | before, MiB | bytes each, at once | bytes each, silent | closed, MiB |\n|---|---|---|---|---|---|")
    for kind in wanted.kind:
        _, site, request, status = KINDS[kind]
        with tempfile.TemporaryDirectory(prefix="idle-") as name:
            folder = pathlib.Path(name)
            folder.chmod(0o755)
            with fronts(folder, site, wanted.only) as running:
                for front in running.values():
                    print(f"{kind}: {front.name}", file=sys.stderr, flush=True)
                    row = measure(front, site, request, status, wanted.connections)
                    print(f"| {wanted.connections} {kind} | {front.name} {known[front.name]} | {row} |", flush=True)


def measure(front: Front, site: Site, request: bytes, status: bytes, count: int) -> str:
    context = None
    if site.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    open_one(front.port, context, request, status).close()
    time.sleep(2)
    before = front.memory()
    connections = [open_one(front.port, context, request, status) for _ in range(count)]
    at_once = front.memory()
    time.sleep(SETTLED)
    silent = front.memory()
    for connection in connections:
        connection.close()
    time.sleep(SETTLED)
    each = [(memory - before) * 1024 // count for memory in (at_once, silent)]
    return f"{before / 1024:.1f} | {each[0]} | {each[1]} | {front.memory() / 1024:.1f}"


def open_one(port: int, context: ssl.SSLContext | None, request: bytes, status: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    if context:
        connection = context.wrap_socket(connection)
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece:
            raise SystemExit(f"a connection was closed instead of answered: {answer!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 " + status):
        raise SystemExit(f"not the answer that was asked for: {answer!r}")
    return connection


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench/idle",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Memory (PSS) of the proxy, workers not counted, for each connection that is open and silent, and what is left when all are\nclosed.",
        epilog="kinds:\n" + "\n".join(f"  {name:8} {kind[0]}" for name, kind in KINDS.items()) + "\n\nBINARY=path measures another binary.",
    )
    parser.add_argument("--connections", type=int, default=8000, help="default 8000; each needs a descriptor here and two in a proxy")
    parser.add_argument("--kind", type=choices(list(KINDS)), default=list(KINDS), metavar="NAME,..", help="default all")
    parser.add_argument("--only", type=choices(USUAL), default=USUAL, metavar="PROXY,..", help="default all three")
    return parser.parse_args()


main()
