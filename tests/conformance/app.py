"""The worker of these commands: echoes WebSocket messages, answers /large with 2 MiB and /hold never, reads bodies and says
accepted, or ok."""


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == "/hold":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if scope["path"] == "/large":
            pieces, piece = 32, PIECE
        else:
            pieces, piece = 1, b"accepted" if scope["method"] == "POST" else b"ok"
        length = (b"content-length", str(pieces * len(piece)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        # Waits for its reader: in one piece all of it would be copied and kept.
        for left in reversed(range(pieces)):
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        kind = "bytes" if message.get("bytes") is not None else "text"
        await send({"type": "websocket.send", kind: message[kind]})


PIECE = b"x" * 64 * 1024
