"""antifreeze and its peers before the same workers: unix sockets, keep-alive, least connections, two threads (nginx: two
processes), a listening socket for each of them, the same forwarding fields and a request id."""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from cases import Site

ROOT = pathlib.Path(__file__).resolve().parents[3]
ANTIFREEZE = os.environ.get("BINARY", str(ROOT / "target" / "release" / "antifreeze"))
NAMES = ["antifreeze", "nginx", "haproxy"]
THREADS = 2
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
def fronts(folder: pathlib.Path, site: Site, names: list[str]) -> Iterator[dict[str, Front]]:
    """All of these proxies, one beside the other. antifreeze starts the workers of all."""
    tls = certificate(folder) if site.tls else None
    running: dict[str, Front] = {}
    try:
        running["antifreeze"], sockets = antifreeze(folder, site, tls)
        if "nginx" in names:
            running["nginx"] = peer("nginx", folder, nginx(folder, site, sockets, tls))
        if "haproxy" in names:
            running["haproxy"] = peer("haproxy", folder, haproxy(folder, site, sockets, tls))
        yield {name: front for name, front in running.items() if name in names}
    finally:
        for front in reversed(running.values()):
            front.process.terminate()
        for front in running.values():
            front.process.wait(STARTING)


def antifreeze(folder: pathlib.Path, site: Site, tls: pathlib.Path | None) -> tuple[Front, list[pathlib.Path]]:
    words = ["run" if site.tunnels else "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--threads", str(THREADS), "--workers", str(site.workers)]
    # The others let any number of requests wait, and come on one connection.
    words += ["--queue-limit", "10000", "--connection-request-limit", "off"]
    if tls:
        words += ["--tls-cert", str(tls), "--tls-key", str(tls)]
    if site.log:
        words += ["--access-log", str(folder / "antifreeze.access"), "--access-log-format", "json"]
    if site.tunnels:
        words += ["--", sys.executable, "-B", str(pathlib.Path(__file__).parent / "tunnels.py"), "{socket}"]
    log = folder / "antifreeze.log"
    with log.open("wb") as output:
        process = subprocess.Popen([ANTIFREEZE, *words], stdout=output, stderr=output, env=os.environ | {"TMPDIR": str(folder)})
    until("antifreeze serves", lambda: log.read_text().count('now="serving"') >= site.workers, process, log)
    port = int(re.search(r"listening on \S*127\.0\.0\.1:(\d+)", log.read_text())[1])
    return Front("antifreeze", port, process), sorted(folder.glob("antifreeze-*/*.sock"))


def peer(name: str, folder: pathlib.Path, prepared: tuple[int, list[str]]) -> Front:
    port, command = prepared
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    until(f"{name} listens", lambda: answers(port), process, log)
    return Front(name, port, process)


def nginx(folder: pathlib.Path, site: Site, sockets: list[pathlib.Path], tls: pathlib.Path | None) -> tuple[int, list[str]]:
    port = free_port()
    places = "".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    servers = "".join(f"server unix:{path};" for path in sockets)
    secure = f"ssl_certificate {tls}; ssl_certificate_key {tls}; ssl_protocols TLSv1.3;" if tls else ""
    upgrade = "$http_upgrade" if site.tunnels else '""'
    connection = '"upgrade"' if site.tunnels else '""'
    log, line = "off", ""
    if site.log:
        log = f"{folder}/nginx.access json buffer=64k flush=1s"
        line = (
            'log_format json escape=json \'{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method",'
            '"target":"$request_uri","version":"$server_protocol","status":$status,"bytes":$body_bytes_sent,'
            '"duration":$request_time,"worker":"$upstream_addr","wait":"$upstream_response_time",'
            '"referer":"$http_referer","user_agent":"$http_user_agent","id":"$request_id"}\';'
        )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        # The workers' folder is open to their owner alone.
        ("user root;" if os.getuid() == 0 else "")
        + f"worker_processes {THREADS}; pid {folder}/nginx.pid; error_log {folder}/nginx.error; daemon off;"
        + "worker_rlimit_nofile 20000; events { worker_connections 19000; }"
        + f"http {{ {places} {line} access_log {log}; keepalive_requests 1000000000; client_body_buffer_size 128k;"
        + f"upstream pool {{ least_conn; keepalive 64; keepalive_requests 1000000000; {servers} }}"
        + f"server {{ listen 127.0.0.1:{port} {'ssl http2' if tls else ''} reuseport; {secure}"
        + "location / { proxy_pass http://pool; proxy_http_version 1.1; proxy_buffers 8 32k; proxy_max_temp_file_size 0;"
        + f"proxy_set_header Connection {connection}; proxy_set_header Upgrade {upgrade}; proxy_read_timeout 60s;"
        + "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;"
        + "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;"
        + "proxy_set_header X-Request-Id $request_id; } } }"
    )
    return port, ["nginx", "-c", str(configuration)]


def haproxy(folder: pathlib.Path, site: Site, sockets: list[pathlib.Path], tls: pathlib.Path | None) -> tuple[int, list[str]]:
    port = free_port()
    secure = f" ssl crt {tls} alpn h2,http/1.1 ssl-min-ver TLSv1.3" if tls else ""
    lines = ["global", f" nbthread {THREADS}", " maxconn 9500"]
    lines += ["defaults", " mode http", " maxconn 9500", " option forwardfor", " http-reuse always"]
    lines += [f" timeout {step} 60s" for step in ("client", "server", "connect", "queue", "http-request", "http-keep-alive")]
    lines += ["frontend front", *[f" bind 127.0.0.1:{port}{secure}"] * THREADS]
    if site.log:
        # It writes to no file by itself; a descriptor that is one serves.
        lines += [
            " log fd@1 format raw local0",
            ' log-format \'{"time":"%tr","client":"%ci","method":"%HM","target":"%HU","version":"%HV","status":%ST,"bytes":%B,'
            '"duration":%Ta,"worker":"%s","wait":%Tr,"id":"%ID"}\'',
        ]
    lines += [" unique-id-format %{+X}o%ci%cp%Ts%rt", " unique-id-header X-Request-Id"]
    lines += [f" http-request set-header X-Forwarded-Proto {'https' if tls else 'http'}"]
    lines += [" http-request set-header X-Forwarded-Host %[req.hdr(host)]", " default_backend pool"]
    lines += ["backend pool", " balance leastconn", *[f" server worker{number} {path}" for number, path in enumerate(sockets)]]
    configuration = folder / "haproxy.cfg"
    configuration.write_text("\n".join(lines) + "\n")
    return port, ["haproxy", "-q", "-db", "-f", str(configuration)]


def certificate(folder: pathlib.Path) -> pathlib.Path:
    """A certificate of P-256 and its key, in one file."""
    both, key = folder / "both.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", both], check=True, capture_output=True)
    both.write_text(both.read_text() + key.read_text())
    return both


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def until(what: str, is_so, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    deadline = time.monotonic() + STARTING
    while not is_so():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"waited in vain until {what}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def versions(names: list[str]) -> dict[str, str]:
    told = {"antifreeze": [ANTIFREEZE, "--version"], "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"]}
    found = {}
    for name in names:
        if shutil.which(told[name][0]) is None:
            raise SystemExit(f"{told[name][0]} is not there")
        output = subprocess.run(told[name], capture_output=True, text=True, check=True)
        found[name] = re.search(r"\d+\.\d+[\w.]*", output.stdout + output.stderr)[0]
    return found
