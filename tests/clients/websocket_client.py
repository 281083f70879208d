"""The websockets library: text, binary, a large message, close codes both ways, a refusal. Its argument is an address."""

# Not websockets.sync: it reads and writes one TLS socket from two threads, which Python's ssl does not bear. A write that meets
# a session ticket being read waits for the other side's next byte (python/cpython#137583, python-engineio#461).
import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus


async def main(address: str) -> None:
    async with connect(f"{address}/echo", subprotocols=["echo"], max_size=None) as socket:
        assert socket.subprotocol == "echo", socket.subprotocol
        for message in ["héllo", b"\x00\xff", "x" * 300_000, b"y" * 3_000_000]:
            await socket.send(message)
            assert await socket.recv() == message, message[:20]
        await socket.send("close")
        try:
            await socket.recv()
            raise AssertionError("the server closed")
        except ConnectionClosedError as error:
            assert (error.rcvd.code, error.rcvd.reason) == (4001, "asked to"), error

    socket = await connect(f"{address}/echo")
    await socket.close(4002, "client's own")

    try:
        await connect(f"{address}/refuse")
        raise AssertionError("the server refuses")
    except InvalidStatus as error:
        assert error.response.status_code == 403, error


asyncio.run(main(sys.argv[1].replace("http", "ws")))
