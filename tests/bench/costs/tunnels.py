"""A worker that turns every request for an upgrade into a tunnel and says nothing in it. Its argument is a unix socket."""

import asyncio
import resource
import sys

# Of the key that RFC 6455 has as its example (section 1.3), which the client of this bench sends.
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TUNNEL = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(TUNNEL if b"\r\nupgrade:" in head.lower() else PLAIN)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = await asyncio.start_unix_server(serve, sys.argv[1], backlog=1024)
    await server.serve_forever()


asyncio.run(main())
