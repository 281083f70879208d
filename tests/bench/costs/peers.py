"""How each peer is set up: where it listens, and its command."""

import json
import os
import pathlib
import resource
import socket

from cases import Site
from wheels import program

THREADS = 2
# Connections to a worker that Go's proxies keep.
IDLE = 10_000
# Of Envoy's access log.
FIELDS = {
    "time": "START_TIME", "client": "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "method": "REQ(:METHOD)", "target": "REQ(:PATH)",
    "version": "PROTOCOL", "status": "RESPONSE_CODE", "bytes": "BYTES_SENT", "duration": "DURATION", "worker": "UPSTREAM_HOST",
    "wait": "RESPONSE_DURATION", "referer": "REQ(REFERER)", "user_agent": "REQ(USER-AGENT)", "id": "REQ(X-REQUEST-ID)",
}


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
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        # The workers' folder is open to their owner alone.
        ("user root;" if os.getuid() == 0 else "")
        + f"worker_processes {THREADS}; pid {folder}/nginx.pid; error_log {folder}/nginx.error; daemon off;"
        + f"worker_rlimit_nofile {min(2 * site.clients + 1000, limit)}; events {{ worker_connections {min(2 * site.clients, limit)}; }}"
        + f"http {{ {places} {line} access_log {log}; keepalive_requests 1000000000; client_body_buffer_size 128k;"
        + f"upstream pool {{ least_conn; keepalive 64; keepalive_requests 1000000000; {servers} }}"
        + f"server {{ listen 127.0.0.1:{port} {'ssl http2' if tls else ''} reuseport; {secure}"
        + "location / { proxy_pass http://pool; proxy_http_version 1.1; proxy_buffers 8 32k; proxy_max_temp_file_size 0;"
        # Or else it would pass on no piece of a stream before there are 32 KiB.
        + ("proxy_buffering off;" if site.tunnels else "")
        + f"proxy_set_header Connection {connection}; proxy_set_header Upgrade {upgrade}; proxy_read_timeout 60s;"
        + "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;"
        + "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;"
        + "proxy_set_header X-Request-Id $request_id; } } }"
    )
    return port, ["nginx", "-c", str(configuration)]


def haproxy(folder: pathlib.Path, site: Site, sockets: list[pathlib.Path], tls: pathlib.Path | None) -> tuple[int, list[str]]:
    port = free_port()
    secure = f" ssl crt {tls} alpn h2,http/1.1 ssl-min-ver TLSv1.3" if tls else ""
    # By itself it does not start unless it may have two descriptors for each of them.
    lines = ["global", f" nbthread {THREADS}", f" maxconn {site.clients}", " no strict-limits"]
    lines += ["defaults", " mode http", f" maxconn {site.clients}", " option forwardfor", " http-reuse always"]
    lines += [f" timeout {step} 60s" for step in ("client", "server", "connect", "queue", "http-request", "http-keep-alive")]
    if site.tunnels:
        # Or else the kernel keeps each piece of a stream for 200 ms, in case there is more.
        lines += [" option http-no-delay"]
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


def envoy(folder: pathlib.Path, site: Site, sockets: list[pathlib.Path], tls: pathlib.Path | None) -> tuple[int, list[str]]:
    port = free_port()
    http = {
        "@type": of_envoy("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "front",
        # It tells X-Forwarded-For and X-Forwarded-Proto by itself, and draws an id.
        "use_remote_address": True,
        "http_filters": [
            {"name": "router", "typed_config": {"@type": of_envoy("filters.http.router.v3.Router"), "suppress_envoy_headers": True}}
        ],
        "route_config": {
            "request_headers_to_add": [{"header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"}}],
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "pool", "timeout": "60s"}}]}
            ],
        },
    }
    if site.log:
        http["access_log"] = [
            {
                "name": "file",
                "typed_config": {
                    "@type": of_envoy("access_loggers.file.v3.FileAccessLog"),
                    "path": f"{folder}/envoy.access",
                    "log_format": {"json_format": {key: f"%{value}%" for key, value in FIELDS.items()}},
                },
            }
        ]
    chain: dict = {"filters": [{"name": "http", "typed_config": http}]}
    if tls:
        file = {"filename": str(tls)}
        common = {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": file, "private_key": file}],
        }
        context = {"@type": of_envoy("transport_sockets.tls.v3.DownstreamTlsContext"), "common_tls_context": common}
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    most = dict.fromkeys(["max_connections", "max_pending_requests", "max_requests"], 100_000)
    pool = {
        "name": "pool",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [most]},
        "load_assignment": {
            "cluster_name": "pool",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(path)}}}} for path in sockets]}],
        },
    }
    listener = {"name": "front", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain]}
    configuration = folder / "envoy.json"
    configuration.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [pool]}}))
    return port, [program("envoy"), "-c", str(configuration), "--concurrency", str(THREADS), "--disable-hot-restart", "-l", "warning"]


def of_envoy(name: str) -> str:
    return f"type.googleapis.com/envoy.extensions.{name}"


def caddy(folder: pathlib.Path, site: Site, sockets: list[pathlib.Path], tls: pathlib.Path | None) -> tuple[int, list[str]]:
    port = free_port()
    forward = {
        # It tells X-Forwarded-For, -Proto and -Host by itself.
        "handler": "reverse_proxy",
        "headers": {"request": {"set": {"X-Request-Id": ["{http.request.uuid}"]}}},
        "load_balancing": {"selection_policy": {"policy": "least_conn"}},
        "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": IDLE}},
        "upstreams": [{"dial": f"unix/{path}"} for path in sockets],
    }
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "protocols": ["h1", "h2"],
        "routes": [{"handle": [forward]}],
        "automatic_https": {"disable": True},
    }
    apps: dict = {"http": {"servers": {"front": server}}}
    if tls:
        server["tls_connection_policies"] = [{"protocol_min": "tls1.3"}]
        apps["tls"] = {"certificates": {"load_files": [{"certificate": str(tls), "key": str(tls)}]}}
    logs: dict = {"default": {"level": "WARN"}}
    if site.log:
        server["logs"] = {}
        logs = {"default": {"writer": {"output": "file", "filename": f"{folder}/caddy.access", "roll": False}}}
    configuration = folder / "caddy.json"
    configuration.write_text(json.dumps({"admin": {"disabled": True, "config": {"persist": False}}, "logging": {"logs": logs}, "apps": apps}))
    return port, [program("caddy"), "run", "--config", str(configuration)]


def traefik(folder: pathlib.Path, site: Site, ports: list[int], tls: pathlib.Path | None) -> tuple[int, list[str]]:
    """It knows no unix sockets behind it, draws no id, and has no least connections, but the better of two."""
    port = free_port()
    balance = {
        "strategy": "p2c",
        "serversTransport": "kept",
        "servers": [{"url": f"http://127.0.0.1:{port}"} for port in ports],
    }
    http: dict = {
        "routers": {"all": {"rule": "PathPrefix(`/`)", "service": "pool"}},
        "services": {"pool": {"loadBalancer": balance}},
        "serversTransports": {"kept": {"maxIdleConnsPerHost": IDLE}},
    }
    dynamic = {"http": http}
    words = [program("traefik"), f"--entrypoints.front.address=127.0.0.1:{port}", "--log.level=WARN", "--global.checknewversion=false"]
    if tls:
        words += ["--entrypoints.front.http.tls=true"]
        pair = {"certFile": str(tls), "keyFile": str(tls)}
        dynamic["tls"] = {"stores": {"default": {"defaultCertificate": pair}}, "options": {"default": {"minVersion": "VersionTLS13"}}}
    if site.log:
        words += [f"--accesslog.filepath={folder}/traefik.access", "--accesslog.format=json", "--accesslog.bufferingsize=100"]
    # YAML, of which JSON is a part.
    configuration = folder / "traefik.yaml"
    configuration.write_text(json.dumps(dynamic))
    return port, [*words, f"--providers.file.filename={configuration}", "--providers.file.watch=false"]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
