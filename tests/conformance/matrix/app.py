"""The app of the matrix for servers that speak ASGI; app.mjs is the same for Node. Answers each case, and appends what it
was asked to the file named by RECORDS: one JSON object a request or WebSocket, once it knows all of it."""

import asyncio
import gzip
import hashlib
import json
import os
import pathlib
import time
from urllib.parse import parse_qsl

KNOWN = json.loads(pathlib.Path(__file__).with_name("cases.json").read_text())
RESOURCE = bytes(number * number % 251 for number in range(100_000))
VALIDATORS = [
    (b"etag", b'"v1"'),
    (b"last-modified", b"Tue, 24 Nov 2026 00:00:00 GMT"),
    (b"cache-control", b"max-age=0"),
    (b"vary", b"x-none"),
]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await socket(scope, receive, send)
    elif not dict(parse_qsl(scope["query_string"].decode())).get("case"):
        # A probe, or the search for an OpenAPI document.
        await answer(send, 404, [], b"")
    else:
        asked = Asked(scope)
        await asked.read(receive)
        page = PAGES.get(scope["path"], fields)
        await page(asked, send)
        asked.write()


class Asked:
    """What the app saw of a request."""

    def __init__(self, scope):
        self.query = dict(parse_qsl(scope["query_string"].decode()))
        self.field = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        raw_path = scope.get("raw_path") or scope["path"].encode()
        self.seen = {
            "case": self.query.get("case"),
            "step": self.query.get("step"),
            "method": scope.get("method"),
            "path": raw_path.decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "scheme": scope["scheme"],
            "version": scope["http_version"],
            "peer": (scope.get("client") or [None])[0] or None,
        }

    async def read(self, receive):
        digest, length = hashlib.sha256(), 0
        while True:
            message = await receive()
            digest.update(message.get("body", b""))
            length += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        self.seen |= {"length": length, "sha256": digest.hexdigest()}

    def write(self):
        with open(os.environ["RECORDS"], "a") as records:
            records.write(json.dumps(self.seen) + "\n")


async def page(asked, send):
    """What browsers run the cases on."""
    await answer(send, 200, [(b"content-type", b"text/html")], b"<!doctype html><title>matrix</title>")


async def upload(asked, send):
    told = json.dumps({"length": asked.seen["length"], "sha256": asked.seen["sha256"]}).encode()
    await answer(send, 201, [(b"content-type", b"application/json"), (b"location", b"/made/1")], told)


async def stream(asked, send):
    head = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for number, size in enumerate(KNOWN["pieces"]):
        await send({"type": "http.response.body", "body": bytes([number]) * size, "more_body": True})
    await send({"type": "http.response.body"})


async def events(asked, send):
    if asked.field.get("last-event-id"):
        # The client came back, as it should; this tells it to stay away.
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        return
    start = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    for event in KNOWN["events"]:
        asked.seen["last_sent"] = time.time()
        await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await asyncio.sleep(0.06)
    await send({"type": "http.response.body"})


async def resource(asked, send):
    if asked.field.get("if-none-match") == '"v1"':
        await send({"type": "http.response.start", "status": 304, "headers": VALIDATORS})
        await send({"type": "http.response.body"})
        return
    status, body, extra = 200, RESOURCE, []
    if "range" in asked.field:
        first, last = asked.field["range"].removeprefix("bytes=").split("-")
        if int(first) >= len(RESOURCE):
            await answer(send, 416, [(b"content-range", b"bytes */%d" % len(RESOURCE))], b"")
            return
        status, body = 206, RESOURCE[int(first) : int(last) + 1]
        extra = [(b"content-range", f"bytes {first}-{last}/{len(RESOURCE)}".encode())]
    head = [(b"content-type", b"application/octet-stream"), (b"accept-ranges", b"bytes"), *VALIDATORS, *extra]
    await answer(send, status, head, body, asked.seen["method"] != "HEAD")


async def cookie(asked, send):
    sets = []
    if "set" in asked.query:
        cookies = [b"%s=%s; Path=/cookie; SameSite=Lax" % (name, name * 4000) for name in (b"a", b"b")]
        sets = [(b"set-cookie", cookie) for cookie in cookies]
    told = "; ".join(value for name, value in asked.seen["fields"] if name.lower() == "cookie")
    await answer(send, 200, [(b"content-type", b"text/plain"), *sets], told.encode())


async def fields(asked, send):
    head = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-encoding", b"gzip"),
        (b"x-many", b"one"),
        (b"x-many", b"two, three"),
        (b"x-many", b"one"),
        (b"x-empty", b""),
        (b"x-latin", b"caf\xe9"),
        (b"x-long", b"l" * 4000),
        (b"x-quoted", b'"a,b"; c="\\"d\\""'),
        (b"server-timing", b"app;dur=1"),
        (b"link", b"</a>; rel=preload"),
        (b"set-cookie", b"one=1; Path=/fields"),
        (b"set-cookie", b"two=2; Path=/fields; Expires=Wed, 01 Jan 2031 00:00:00 GMT"),
        (b"set-cookie", b"one=3; Path=/fields/x"),
    ]
    await answer(send, 202, head, gzip.compress(b"text" * 1000, mtime=0))


async def answer(send, status, head, body, has_body=True):
    head = [*head, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body if has_body else b""})


async def socket(scope, receive, send):
    """Echoes; closes when it is told to; refuses on another path."""
    asked = Asked(scope)
    asked.seen |= {"subprotocols": list(scope["subprotocols"]), "messages": []}
    await receive()
    if scope["path"] == "/refuse":
        await send({"type": "websocket.close"})
        asked.write()
        return
    await send({"type": "websocket.accept", "subprotocol": "two" if "two" in scope["subprotocols"] else None})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        content = message["bytes"] if text is None else text.encode()
        kind = "binary" if text is None else "text"
        asked.seen["messages"].append([kind, len(content), hashlib.sha256(content).hexdigest()])
        if text == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "asked to"})
            break
        if text is None:
            await send({"type": "websocket.send", "bytes": content})
        else:
            await send({"type": "websocket.send", "text": text})
    else:
        asked.seen |= {"close": message.get("code"), "reason": message.get("reason")}
    asked.write()


async def lifespan(receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


PAGES = {"/page": page, "/upload": upload, "/stream": stream, "/events": events, "/resource": resource, "/cookie": cookie}
