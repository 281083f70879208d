"""The command behind tests/bench/idle."""

import argparse
import dataclasses
import pathlib
import sys
import tempfile
import time

from cases import Site
from fronts import USUAL, Front, fronts, versions
from waves import MOST, SPARE, Asked, descriptors, opened
from words import choices


@dataclasses.dataclass(frozen=True)
class Kind:
    what: str
    site: Site
    asked: Asked
    # Descriptors of the proxy for each connection.
    descriptors: int
    connections: int = 10_000


GET = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
STREAM = b"GET /stream HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
KINDS = {
    "plain": Kind("one request each, then silence", Site(), Asked(GET, b"200"), 1),
    "tls": Kind("the same inside TLS 1.3", Site(tls=True), Asked(GET, b"200", tls=True), 1),
    "tunnel": Kind("WebSockets in which nobody speaks", Site(tunnels=True), Asked(UPGRADE, b"101"), 2),
    "streaming": Kind("answers that go on: 1 KiB every 100 ms, read at once", Site(tunnels=True), Asked(STREAM, b"200", streams=True), 2, 500),
}
# When the memory of connections, and what closed ones left, is looked at: seconds.
SETTLED = 10.0
WAVES = 2


def main() -> None:
    wanted = arguments()
    known = versions(wanted.only)
    counts = {kind: connections(kind, wanted.connections) for kind in wanted.kind}
    print(
        "| connections | proxy | before, MiB | bytes each, at once | bytes each, 10 s later | closed, MiB | closed again, MiB |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for kind, count in counts.items():
        with tempfile.TemporaryDirectory(prefix="idle-") as name:
            folder = pathlib.Path(name)
            folder.chmod(0o755)
            site = dataclasses.replace(KINDS[kind].site, clients=max(count, Site().clients))
            with fronts(folder, site, wanted.only) as running:
                for front in running.values():
                    print(f"{kind}: {front.name}", file=sys.stderr, flush=True)
                    row = measure(front, KINDS[kind].asked, count)
                    print(f"| {count} {kind} | {front.name} {known[front.name]} | {row} |", flush=True)


def connections(kind: str, wanted: int | None) -> int:
    """So many as are wanted, or else the usual number, or as many as fit."""
    each, limit = KINDS[kind].descriptors, descriptors()
    fitting = min(MOST, (limit - SPARE) // each)
    if wanted is None:
        return min(KINDS[kind].connections, fitting)
    if wanted > fitting:
        raise SystemExit(
            f"{wanted} connections ({kind}) take {wanted * each + SPARE} descriptors of a proxy, and a process may have {limit}: raise the hard "
            f"limit (as root: ulimit -Hn {wanted * each + SPARE}), or ask for {fitting} at most"
        )
    return wanted


def measure(front: Front, asked: Asked, count: int) -> str:
    with opened(front.port, asked, 1):
        pass
    time.sleep(2)
    before = front.memory()
    each, left = [], []
    for _ in range(WAVES):
        with opened(front.port, asked, count):
            each.append(front.memory())
            time.sleep(SETTLED)
            each.append(front.memory())
        time.sleep(SETTLED)
        left.append(front.memory())
    at_once, later = [(memory - before) * 1024 // count for memory in each[:2]]
    return f"{before / 1024:.1f} | {at_once} | {later} | " + " | ".join(f"{memory / 1024:.1f}" for memory in left)


def arguments() -> argparse.Namespace:
    kinds = "\n".join(f"  {name:10} {kind.what} ({kind.connections})" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="tests/bench/idle",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Memory (PSS) of the proxy, workers not counted, for each connection that is open: as soon as all are, and 10 s later. Then what is\n"
        "left 10 s after all are closed, and after a second wave of as many.",
        epilog=f"kinds, and how many of each:\n{kinds}\n\n"
        "A connection takes a descriptor of the proxy (a WebSocket and a stream two) and one of the client, which is as many processes as it\n"
        "takes; so without --connections as many are opened as the hard limit of descriptors (ulimit -Hn) lets a proxy have.\n\n"
        "BINARY=path measures another binary.",
    )
    parser.add_argument("--connections", type=int, help="so many of each kind")
    parser.add_argument("--kind", type=choices(list(KINDS)), default=list(KINDS), metavar="NAME,..", help="default all")
    parser.add_argument("--only", type=choices(USUAL), default=USUAL, metavar="PROXY,..", help="default all three")
    return parser.parse_args()


main()
