"""How each peer is set up: where it listens, and its command."""

import os
import pathlib
import socket

from cases import Site

THREADS = 2


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


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
