"""What is measured: antifreeze and its peers, each set up as its users would at their best for this."""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

ROOT = pathlib.Path(__file__).resolve().parents[3]
APPS = ROOT / "tests" / "apps"
BIN = pathlib.Path(sys.executable).parent
ANTIFREEZE = os.environ.get("ANTIFREEZE", str(ROOT / "target" / "release" / "antifreeze"))
# systemd's pause before it restarts a service (RestartSec), for workers behind proxies that start none themselves.
RESTART_PAUSE = 0.1


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one run happens."""

    folder: pathlib.Path
    port: int
    workers: int
    app: str
    environment: dict[str, str]

    def spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with open(self.folder / "log", "ab") as log:
            # A group of its own, so that a Ctrl-C here reaches them only through `stop`.
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment, process_group=0)

    def upstream(self, number: int) -> pathlib.Path:
        return self.folder / f"{number}.sock"


@dataclasses.dataclass(frozen=True)
class Target:
    name: str
    what: str
    # The command whose output tells the version.
    version: list[str]
    # The command of the front, given its place.
    front: Callable[[Place], list[str]]
    # Whether it needs somebody else to run the workers.
    proxy: bool = False
    apps: tuple[str, ...] = ("asgi", "wsgi")

    def describe_version(self) -> str:
        output = subprocess.run(self.version, capture_output=True, text=True, check=True)
        found = re.search(r"\d+\.\d+[\w.]*", output.stdout + output.stderr)
        return found.group() if found else "?"

    @contextlib.asynccontextmanager
    async def running(self, place: Place) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            units = [
                group.create_task(keep_running(place, single(place, number)))
                for number in range(place.workers if self.proxy else 0)
            ]
            front = place.spawn(*self.front(place))
            try:
                yield
            finally:
                await stop(front)
                for unit in units:
                    unit.cancel()


async def keep_running(place: Place, command: list[str]) -> None:
    """What a service manager does for one worker."""
    process = place.spawn(*command)
    try:
        while True:
            await asyncio.sleep(RESTART_PAUSE)
            if process.poll() is not None:
                process = place.spawn(*command)
    finally:
        # Its group: gunicorn's worker is a child of its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def stop(process: subprocess.Popen[bytes]) -> None:
    """Two SIGTERMs, which hurry those that know the difference, and SIGKILL for the rest."""
    for _ in range(2):
        process.terminate()
        await asyncio.sleep(0.2)
    for _ in range(50):
        if process.poll() is not None:
            return
        await asyncio.sleep(0.1)
    process.kill()
    process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def uvicorn(*arguments: str) -> list[str]:
    return [str(BIN / "uvicorn"), "--log-level", "warning", "--app-dir", str(APPS), *arguments, "fastapi_app:app"]


def gunicorn(place: Place, address: str, workers: int, *arguments: str) -> list[str]:
    kind = ["-k", "uvicorn_worker.UvicornWorker", "fastapi_app:app"] if place.app == "asgi" else ["-k", "sync", "wsgi_app:app"]
    common = ["--log-level", "warning", "--chdir", str(APPS), "--bind", address, "--workers", str(workers)]
    return [str(BIN / "gunicorn"), *common, *arguments, *kind]


def single(place: Place, number: int) -> list[str]:
    """One worker on a unix socket, for a proxy to stand before."""
    socket_path = str(place.upstream(number))
    if place.app == "asgi":
        return uvicorn("--uds", socket_path)
    return gunicorn(place, f"unix:{socket_path}", 1)


def antifreeze(place: Place) -> list[str]:
    common = [ANTIFREEZE, "run", "--listen", f"127.0.0.1:{place.port}", "--admin", "off", "--workers", str(place.workers)]
    if place.app == "asgi":
        return [*common, "--", *uvicorn()]
    worker = [str(BIN / "gunicorn"), "--log-level", "warning", "--chdir", str(APPS), "-k", "sync", "wsgi_app:app"]
    return [*common, "--max-in-flight", "1", "--", *worker]


def nginx(place: Place, *rules: str) -> list[str]:
    # Without max_fails=0 a single failure takes a server out for 10 s: a few of them, and all is 502.
    servers = "".join(f"server unix:{place.upstream(number)} max_fails=0;\n" for number in range(place.workers))
    temporary = "".join(
        f"{'client_body' if name == 'body' else name}_temp_path {place.folder}/{name};\n"
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = f"""
worker_processes 1; pid {place.folder}/nginx.pid; error_log {place.folder}/nginx.log; daemon off;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    {temporary}
    upstream pool {{ least_conn; {servers} keepalive 64; keepalive_timeout 4s; }}
    server {{
        listen 127.0.0.1:{place.port} backlog=4096;
        location / {{ proxy_pass http://pool; proxy_http_version 1.1; proxy_set_header Connection ""; {" ".join(rules)} }}
    }}
}}
"""
    path = place.folder / "nginx.conf"
    path.write_text(text)
    return ["nginx", "-c", str(path)]


def haproxy(place: Place, timeout: str, *rules: str) -> list[str]:
    # A synchronous worker takes one at a time; the others wait in HAProxy's queue.
    limit = "maxconn 1" if place.app == "wsgi" else "maxconn 4096"
    servers = "\n".join(f"    server w{number} unix@{place.upstream(number)} {limit}" for number in range(place.workers))
    text = f"""
global
    maxconn 8192
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server {timeout}
    timeout queue 10s
    timeout check 500ms
    retries 3
    option redispatch 1
frontend clients
    bind 127.0.0.1:{place.port}
    default_backend pool
backend pool
    balance leastconn
    option httpchk GET /
    default-server check inter 500ms fall 2 rise 1
    {" ".join(rules)}
{servers}
"""
    path = place.folder / "haproxy.cfg"
    path.write_text(text.replace("; ", "\n    "))
    return ["haproxy", "-db", "-q", "-f", str(path)]


def gunicorn_target(timeout: int) -> Target:
    def front(place: Place) -> list[str]:
        return gunicorn(place, f"127.0.0.1:{place.port}", place.workers, "--timeout", str(timeout))

    what = f"gunicorn -w N --timeout {timeout} (-k uvicorn_worker.UvicornWorker, or sync)"
    return Target(f"gunicorn-{timeout}", what, [str(BIN / "gunicorn"), "--version"], front)


TARGETS = [
    Target("antifreeze", "antifreeze run --workers N (--max-in-flight 1 for the sync app)", [ANTIFREEZE, "--version"], antifreeze),
    Target(
        "uvicorn",
        "uvicorn --workers N",
        [str(BIN / "uvicorn"), "--version"],
        lambda place: uvicorn("--port", str(place.port), "--workers", str(place.workers)),
        apps=("asgi",),
    ),
    gunicorn_target(30),
    gunicorn_target(2),
    Target("nginx", "nginx least_conn before N single workers, max_fails=0", ["nginx", "-v"], nginx, proxy=True),
    Target(
        "nginx-retry",
        "the same with proxy_read_timeout 2s, proxy_next_upstream error timeout, 3 tries",
        ["nginx", "-v"],
        lambda place: nginx(place, "proxy_read_timeout 2s; proxy_next_upstream error timeout; proxy_next_upstream_tries 3;"),
        proxy=True,
    ),
    Target(
        "haproxy",
        "HAProxy leastconn before N single workers, checks each 0.5 s",
        ["haproxy", "-v"],
        lambda place: haproxy(place, "60s"),
        proxy=True,
    ),
    Target(
        "haproxy-retry",
        "the same with timeout server 2s and retry-on all-retryable-errors (not for POST)",
        ["haproxy", "-v"],
        lambda place: haproxy(
            place, "2s", "retry-on all-retryable-errors; http-request disable-l7-retry unless METH_GET"
        ),
        proxy=True,
    ),
]
