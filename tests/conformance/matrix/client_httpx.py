"""httpx, with HTTP/1.1 or HTTP/2."""

import functools
import ssl

import client
import httpx


@functools.cache
def session(edge):
    by_http2 = edge in ("h2", "h2c")
    context = ssl.create_default_context(cafile=client.authority())
    return httpx.AsyncClient(http1=not by_http2, http2=by_http2, verify=context, timeout=client.TIMEOUT, trust_env=False)


async def ask(edge, origin, step):
    content = {"file": file, "pieces": pieces}.get(step.get("body"))
    content = content() if content else step.get("body")
    fields = [(name.encode(), value.encode("latin-1")) for name, value in step["fields"]]
    if step.get("body") == "file":
        fields.append((b"Content-Length", b"100000000"))
    request = session(edge).build_request(step["method"], origin + step["path"], headers=fields, content=content)
    answer = await session(edge).send(request, stream=True)
    body = client.Body()
    async for piece in answer.aiter_raw():
        body.take(piece)
    return {
        "version": answer.http_version,
        "status": answer.status_code,
        "reason": answer.reason_phrase if edge in ("h1", "h1+tls") else "",
        "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in answer.headers.raw],
    } | body.seen()


async def file():
    with open(client.large(), "rb") as content:
        while piece := content.read(256 * 1024):
            yield piece


async def pieces():
    for piece in client.pieces():
        yield piece


client.main(ask)
