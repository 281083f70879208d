"""The servers of the matrix: each by itself, once for each way that it can be spoken to, and as a worker of antifreeze."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import time
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).parent
VENV = HERE.parent.parent / ".venv" / "bin"
EDGES = ["h1", "h1+tls", "h2", "h2c"]
NAMES = ["uvicorn", "gunicorn", "hypercorn", "granian", "node"]


@dataclass(frozen=True)
class Server:
    """`worker` is the command behind `antifreeze run --`; `direct` adds to it what makes it listen on a port, for each edge
    that the server has."""

    worker: list
    direct: dict


def known(work, chain, key):
    alone = work / "hypercorn.toml"
    alone.write_text('alpn_protocols = ["http/1.1"]\n')
    tls = ["--certfile", chain, "--keyfile", key]
    uvicorn = [VENV / "uvicorn", "--log-level", "warning", "app:app"]
    gunicorn = [VENV / "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "--log-level", "warning", "app:app"]
    hypercorn = [VENV / "hypercorn", "--log-level", "warning", "app:app"]
    granian = [VENV / "granian", "--interface", "asgi", "--no-log", "app:app"]
    granian_tls = ["--port", "{port}", "--ssl-certificate", chain, "--ssl-keyfile", key]
    node = ["node", HERE / "app.mjs"]
    bind = ["--bind", "127.0.0.1:{port}"]
    return {
        "uvicorn": Server(
            uvicorn,
            {"h1": ["--port", "{port}"], "h1+tls": ["--port", "{port}", "--ssl-certfile", chain, "--ssl-keyfile", key]},
        ),
        "gunicorn": Server(gunicorn, {"h1": bind, "h1+tls": bind + tls}),
        "hypercorn": Server(
            hypercorn, {"h1": bind, "h1+tls": [*bind, *tls, "--config", alone], "h2": bind + tls, "h2c": bind}
        ),
        "granian": Server(
            granian,
            {
                "h1": ["--port", "{port}", "--http", "1"],
                "h1+tls": [*granian_tls, "--http", "1"],
                "h2": granian_tls,
                "h2c": ["--port", "{port}", "--http", "2"],
            },
        ),
        "node": Server([*node, "{socket}"], {edge: ["{port}", edge, chain, key] for edge in EDGES}),
    }


@dataclass
class Place:
    """Where something listens: its origin for each edge, and the file in which its app writes what it was asked."""

    origins: dict
    records: pathlib.Path
    process: subprocess.Popen
    log: pathlib.Path
    read: int = field(default=0)

    def new_records(self):
        """What the app wrote since the last call."""
        with open(self.records) as lines:
            lines.seek(self.read)
            found = lines.read()
        whole = found.rfind("\n") + 1
        self.read += len(found[:whole].encode())
        return [json.loads(line) for line in found[:whole].splitlines()]


def start_direct(work, name, server, edge):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [word for word in server.worker if word != "{socket}"]
    command += [str(word).replace("{port}", str(port)) for word in server.direct[edge]]
    place = start(work, f"{name} {edge}".replace(" ", "-"), command)
    wait(place, lambda: accepts(port), f"{name} to listen")
    place.origins = {edge: origin(edge, port)}
    return place


def start_antifreeze(work, name, server, binary, chain, key):
    tls = {"certificates": [{"chain": str(chain), "key": str(key)}]}
    listeners = [{"http2": "on"}, {"tls": tls}, {"tls": tls, "http2": "off"}]
    config = {
        "listeners": [{"address": "127.0.0.1:0"} | listener for listener in listeners],
        "admin": "off",
        "pools": {"app": {"command": [str(word) for word in server.worker], "workers": 1}},
    }
    file = work / f"{name}.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(config))
    place = start(work, f"{name}-antifreeze", [binary, "run", "--config", file, "--log-format", "text"])
    wait(place, lambda: 'now="serving"' in place.log.read_text(), "antifreeze to serve")
    clear, secure, alone = re.findall(r"listening on 127\.0\.0\.1:(\d+)", place.log.read_text())
    place.origins = {"h1": origin("h1", clear), "h2c": origin("h2c", clear), "h2": origin("h2", secure)}
    # A client that would choose HTTP/2 comes to the listener without it.
    place.origins |= {"h1+tls": origin("h1+tls", secure), "h1+tls alone": origin("h1+tls", alone)}
    return place


def start(work, name, command):
    records, log = work / f"{name}.records", work / f"{name}.log"
    records.touch()
    environment = os.environ | {"RECORDS": str(records), "PYTHONPATH": str(HERE), "TMPDIR": str(work)}
    with open(log, "w") as lines:
        process = subprocess.Popen([str(word) for word in command], stdout=lines, stderr=lines, env=environment)
    return Place({}, records, process, log)


def stop(places):
    for place in places:
        place.process.terminate()
    for place in places:
        try:
            place.process.wait(15)
        except subprocess.TimeoutExpired:
            place.process.kill()


def origin(edge, port):
    return f"{'https' if edge in ('h1+tls', 'h2') else 'http'}://127.0.0.1:{port}"


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait(place, holds, what):
    deadline = time.monotonic() + 60
    while not holds():
        if place.process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"waited in vain for {what}:\n{place.log.read_text()}")
        time.sleep(0.05)
