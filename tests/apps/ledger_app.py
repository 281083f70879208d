"""Writes down each request before it does anything else, in the file $LEDGER: `id method pid`, a line each. Answers with the id: a
POST's from its body. `/await?ms=N` waits, `/block?ms=N` blocks the event loop."""

import asyncio
import os
import time
from urllib.parse import parse_qs

LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


async def app(scope, receive, send):
    if scope["type"] != "http" or "id=" not in (query := scope["query_string"].decode()):
        return
    wanted = parse_qs(query)
    request = wanted["id"][0]
    os.write(LEDGER, f"{request} {scope['method']} {os.getpid()}\n".encode())
    if scope["method"] == "POST":
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        request = body.decode()
    seconds = int(wanted["ms"][0]) / 1000
    if scope["path"] == "/block":
        time.sleep(seconds)
    else:
        await asyncio.sleep(seconds)
    answer = request.encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(answer)).encode())]})
    await send({"type": "http.response.body", "body": answer})
