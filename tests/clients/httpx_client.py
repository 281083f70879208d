"""httpx: keep-alive, a chunked upload and a streamed download. Its arguments are the proxy's address and the version of HTTP."""

import hashlib
import sys

import httpx

CHUNKS = [b"%d" % (number % 10) * 65536 for number in range(64)]

version = sys.argv[2]
with httpx.Client(base_url=sys.argv[1], timeout=60, http1=version == "HTTP/1.1", http2=version == "HTTP/2") as client:
    sockets = set()
    for _ in range(20):
        answer = client.get("/openapi.json")
        assert (answer.status_code, answer.http_version) == (200, version), answer
        sockets.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(sockets) == 1, f"keep-alive: {sockets}"

    told = client.post("/upload", content=iter(CHUNKS)).json()
    whole = b"".join(CHUNKS)
    assert told == {"coding": "chunked", "digest": hashlib.sha256(whole).hexdigest(), "length": len(whole)}, told

    with client.stream("GET", "/download?chunks=500") as answer:
        lines = [line for line in answer.iter_lines()]
    assert len(lines) == 500 * 1024 and lines[-1] == "0000499", len(lines)
