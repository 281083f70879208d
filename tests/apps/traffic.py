"""An app whose answers depend on what was sent: uploads, streams, WebSockets."""

import hashlib
import sys
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.post("/upload")
async def upload(request: Request) -> dict[str, str | int | None]:
    digest, length = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        length += len(chunk)
    return {"coding": request.headers.get("transfer-encoding"), "digest": digest.hexdigest(), "length": length}


@app.get("/download")
async def download(chunks: int) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for number in range(chunks):
            yield b"%07d\n" % number * 1024

    return StreamingResponse(body())


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    offered = socket.scope["subprotocols"]
    await socket.accept(subprotocol="echo" if "echo" in offered else None)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            print("client closed with", message["code"], file=sys.stderr, flush=True)
            return
        if message.get("text") == "close":
            await socket.close(4001, "asked to")
            return
        if message.get("bytes") is not None:
            await socket.send_bytes(message["bytes"])
        else:
            await socket.send_text(message["text"])


@app.websocket("/refuse")
async def refuse(socket: WebSocket) -> None:
    await socket.close()
