"""antifreeze and its peers before the same workers: unix sockets, keep-alive, least connections, two threads (nginx: two
processes), a listening socket for each of them, the same forwarding fields and a request id, as far as they can."""

import contextlib
import dataclasses
import http.client
import os
import pathlib
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator

import peers
from cases import Site
from peers import THREADS
from wheels import ROOT, program

ANTIFREEZE = os.environ.get("BINARY", str(ROOT / "target" / "release" / "antifreeze"))
USUAL = ["antifreeze", "nginx", "haproxy"]
NAMES = [*USUAL, "envoy", "caddy", "traefik"]
STARTING = 30.0
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Front:
    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def pids(self) -> list[int]:
        """Itself and, of nginx, the processes that it started. Not the workers."""
        if self.name != "nginx":
            return [self.process.pid]
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu(self) -> tuple[float, float]:
        """Seconds of user and system time so far."""
        user = system = 0
        for pid in self.pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        return user * TICK, system * TICK

    def memory(self) -> int:
        """Its proportional share of memory, in KiB."""
        rollups = (pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids)
        return sum(int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) for text in rollups)


@contextlib.contextmanager
def fronts(folder: pathlib.Path, site: Site, names: list[str], beside: pathlib.Path | None = None) -> Iterator[dict[str, Front]]:
    """All of these proxies, one beside the other. antifreeze starts the workers of all but `beside`, another build of it."""
    tls = certificate(folder) if site.tls else None
    running: dict[str, Front] = {}
    try:
        running["antifreeze"], sockets = antifreeze(folder, site, tls)
        if beside:
            own = folder / "beside"
            own.mkdir()
            running["beside"], _ = antifreeze(own, site, tls, str(beside))
        for name, set_up in {"nginx": peers.nginx, "haproxy": peers.haproxy, "envoy": peers.envoy, "caddy": peers.caddy}.items():
            if name in names:
                running[name] = peer(name, folder, set_up(folder, site, sockets, tls), tls)
        if "traefik" in names:
            ports = []
            for _ in sockets:
                ports.append(peers.free_port())
                name = f"worker-{ports[-1]}"
                running[name] = peer(name, folder, (ports[-1], [ANTIFREEZE, "demo-worker", "--port", str(ports[-1])]), None)
            running["traefik"] = peer("traefik", folder, peers.traefik(folder, site, ports, tls), tls)
        yield {name: front for name, front in running.items() if name in [*names, "beside"]}
    finally:
        for front in reversed(running.values()):
            front.process.terminate()
        for front in running.values():
            front.process.wait(STARTING)


def antifreeze(folder: pathlib.Path, site: Site, tls: pathlib.Path | None, binary: str = ANTIFREEZE) -> tuple[Front, list[pathlib.Path]]:
    words = ["run" if site.tunnels else "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--threads", str(THREADS), "--workers", str(site.workers)]
    # The others let any number of requests wait, and come on one connection.
    words += ["--queue-limit", "10000", "--connection-request-limit", "off", "--connection-limit", str(max(16384, site.clients + 100))]
    if tls:
        words += ["--tls-cert", str(tls), "--tls-key", str(tls)]
    if site.log:
        words += ["--access-log", str(folder / "antifreeze.access"), "--access-log-format", "json"]
    if site.tunnels:
        words += ["--", sys.executable, "-B", str(pathlib.Path(__file__).parent / "tunnels.py"), "{socket}"]
    log = folder / "antifreeze.log"
    with log.open("wb") as output:
        process = subprocess.Popen([binary, *words], stdout=output, stderr=output, env=os.environ | {"TMPDIR": str(folder)})
    until("antifreeze serves", lambda: log.read_text().count('now="serving"') >= site.workers, process, log)
    port = int(re.search(r"listening on \S*127\.0\.0\.1:(\d+)", log.read_text())[1])
    return Front("antifreeze", port, process), sorted(folder.glob("antifreeze-*/*.sock"))


def peer(name: str, folder: pathlib.Path, prepared: tuple[int, list[str]], tls: pathlib.Path | None) -> Front:
    port, command = prepared
    log = folder / f"{name}.log"
    # Two threads for those written in Go; Caddy keeps things at home.
    environment = os.environ | {"GOMAXPROCS": str(THREADS), "HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    until(f"{name} answers", lambda: answers(port, tls), process, log)
    return Front(name, port, process)


def certificate(folder: pathlib.Path) -> pathlib.Path:
    """A certificate of P-256 and its key, in one file."""
    both, key = folder / "both.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", both], check=True, capture_output=True)
    both.write_text(both.read_text() + key.read_text())
    return both


def answers(port: int, tls: pathlib.Path | None) -> bool:
    """With a 200: Traefik listens before it knows where to."""
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=1, context=ssl.create_default_context(cafile=tls))
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    with contextlib.suppress(OSError), contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    return False


def until(what: str, is_so, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Ends the process if it does not come to that, or nobody waits for it any more."""
    deadline = time.monotonic() + STARTING
    try:
        while not is_so():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"waited in vain until {what}:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
    except BaseException:
        process.terminate()
        raise


def versions(names: list[str]) -> dict[str, str]:
    asked = {"antifreeze": "--version", "nginx": "-v", "haproxy": "-v", "envoy": "--version", "caddy": "version", "traefik": "version"}
    found = {}
    for name in names:
        command = [ANTIFREEZE if name == "antifreeze" else program(name), asked[name]]
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = re.search(r"\d+\.\d+[\w.]*", output.stdout + output.stderr)[0]
    return found
