"""A worker that turns every request for an upgrade into a tunnel and says nothing in it, and answers one for a stream with
events that do not end. Its argument is a unix socket."""

import asyncio
import resource
import sys

# Of the key that RFC 6455 has as its example (section 1.3), which the client of this bench sends.
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TUNNEL = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
# An event of 1 KiB, as a chunk.
EVENT = b"400\r\n" + b"data: ".ljust(1022, b"x") + b"\n\n\r\n"
PAUSE = 0.1
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /stream "):
                await stream(writer)
            writer.write(TUNNEL if b"\r\nupgrade:" in head.lower() else PLAIN)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM)
    while not writer.is_closing():
        writer.write(EVENT)
        await writer.drain()
        await asyncio.sleep(PAUSE)


async def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = await asyncio.start_unix_server(serve, sys.argv[1], backlog=1024)
    await server.serve_forever()


asyncio.run(main())
