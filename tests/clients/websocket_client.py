"""The websockets library: text, binary, a large message, close codes both ways, a refusal. Its argument is an address."""

import sys

from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

address = sys.argv[1].replace("http", "ws")

with connect(f"{address}/echo", subprotocols=["echo"], max_size=None) as socket:
    assert socket.subprotocol == "echo", socket.subprotocol
    for message in ["héllo", b"\x00\xff", "x" * 300_000, b"y" * 3_000_000]:
        socket.send(message)
        assert socket.recv() == message, message[:20]
    socket.send("close")
    try:
        socket.recv()
        raise AssertionError("the server closed")
    except ConnectionClosedError as error:
        assert (error.rcvd.code, error.rcvd.reason) == (4001, "asked to"), error

socket = connect(f"{address}/echo")
socket.close(4002, "client's own")

try:
    connect(f"{address}/refuse")
    raise AssertionError("the server refuses")
except InvalidStatus as error:
    assert error.response.status_code == 403, error
