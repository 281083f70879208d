"""What is asked of the proxies."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Site:
    """How the proxies are set up: what many cases share."""

    workers: int = 4
    tls: bool = False
    # A JSON access log to a file.
    log: bool = False
    # Workers that do nothing but tunnels and streams.
    tunnels: bool = False
    # Connections of clients at once, at most. For each of them a proxy may have one to a worker.
    clients: int = 9500


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    what: str
    path: str = "/"
    connections: int = 64
    site: Site = Site()
    # Bytes of a request's body.
    body: int = 0
    # A new connection for each request.
    closing: bool = False
    http2: bool = False
    # At half of what nginx does at most, instead of as fast as it goes.
    paced: bool = False


CASES = [
    Case("get", "a small answer over 64 connections"),
    Case("get-1", "the same over 1 connection", connections=1),
    Case("get-1000", "over 1,000 connections", connections=1000),
    Case("get-8000", "over 8,000 connections", connections=8000),
    Case("close", "a small answer and a new connection for each", closing=True),
    Case("16k", "answers of 16 KiB", path="/bytes?n=16384"),
    Case("1m", "answers of 1 MiB", path="/bytes?n=1048576"),
    Case("upload", "uploads of 64 KiB", path="/count", body=65536),
    Case("log", "a small answer, with an access log (JSON, to a file)", site=Site(log=True)),
    Case("tls", "a small answer inside TLS 1.3", site=Site(tls=True)),
    Case("h2", "a small answer over HTTP/2 inside TLS: 8 connections of 8 streams", connections=8, site=Site(tls=True), http2=True),
    Case("paced", "a small answer at half of nginx's greatest rate: look at the latencies", paced=True),
    Case("workers-2", "a small answer by 2 workers", site=Site(workers=2)),
    Case("workers-16", "by 16 workers", site=Site(workers=16)),
    Case("workers-64", "by 64 workers", site=Site(workers=64)),
]
