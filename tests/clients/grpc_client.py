"""Calls of gRPC through the proxy, one test after another: grpc_client.py ADDRESS [ROOT]. With the certificate of an authority:
inside TLS. Where the worker has a say in it, the app is tests/apps/grpc_app.py."""

import os
import sys
import tempfile
import threading
import time

import grpc

address = sys.argv[1]
PATIENCE = 60


def connect():
    if len(sys.argv) > 2:
        with open(sys.argv[2], "rb") as root:
            return grpc.secure_channel(address, grpc.ssl_channel_credentials(root.read()))
    return grpc.insecure_channel(address)


channel = connect()
unary = lambda method: channel.unary_unary(f"/Test/{method}")
gather = channel.stream_unary("/Test/Gather")
count = channel.unary_stream("/Test/Count")
echo = channel.stream_stream("/Test/Echo")


def refused(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was answered")


# Unary, with metadata of both kinds in both directions.
answer, call = unary("Unary").with_call(b"hello", timeout=PATIENCE)
assert answer.endswith(b": hello"), answer
trailers = dict(call.trailing_metadata())
assert (trailers["x-sum"], trailers["x-data-bin"]) == ("5", b"\0\1"), trailers
seen = unary("Seen")(b"", timeout=PATIENCE, metadata=(("x-mine", "1"), ("x-data-bin", b"\0\xff"))).decode()
assert "x-mine=1" in seen and "x-data-bin=b'\\x00\\xff'" in seen and "x-forwarded-for=127.0.0.1" in seen, seen
proto = "https" if len(sys.argv) > 2 else "http"
assert f"x-forwarded-proto={proto}" in seen and "x-request-id=" in seen, seen

# Messages beyond every window on the way.
large = os.urandom(3_000_000)
assert unary("Unary")(large, timeout=PATIENCE).endswith(large)

# Streams: from the server, from the client, and both ways in turn.
assert [int(number) for number in count(b"5000", timeout=PATIENCE)] == list(range(5000))
assert gather((b"%d" % number for number in range(5000)), timeout=PATIENCE) == b",".join(b"%d" % number for number in range(5000))
turn = threading.Semaphore()


def in_turn():
    for number in range(20):
        assert turn.acquire(timeout=PATIENCE)
        yield b"%d" % number


heard = []
for message in echo(in_turn(), timeout=PATIENCE):
    heard.append(message.split(b": ")[1])
    turn.release()
assert heard == [b"%d" % number for number in range(20)], heard

# Errors are in the trailers: alone, behind messages, of an unknown method.
error = refused(lambda: unary("Fail")(b"", timeout=PATIENCE))
assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "nicht möglich: 100 %"), error
assert dict(error.trailing_metadata())["x-why"] == "a test"
half = channel.unary_stream("/Test/Half")(b"", timeout=PATIENCE)
assert next(half).startswith(b"worker")
error = refused(lambda: next(half))
assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "half"), error
assert refused(lambda: unary("Nothing")(b"", timeout=PATIENCE)).code() == grpc.StatusCode.UNIMPLEMENTED

# Deadlines and cancellations arrive at the server.
with tempfile.TemporaryDirectory() as folder:

    def told(name, call=None):
        end = time.monotonic() + PATIENCE
        while not os.path.exists(f"{folder}/{name}"):
            assert not (call and call.done()), call
            assert time.monotonic() < end, f"the server was not told: {name}"
            time.sleep(0.01)

    began = time.monotonic()
    # Long enough for the call to arrive at the server.
    error = refused(lambda: unary("Sleep")(f"{PATIENCE} {folder}/late".encode(), timeout=2))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - began < PATIENCE / 2
    told("late")
    call = unary("Sleep").future(f"{PATIENCE} {folder}/cancelled {folder}/began".encode(), timeout=PATIENCE)
    told("began", call)
    call.cancel()
    told("cancelled")

# Many calls at once share their connections.
calls = [unary("Unary").future(b"%d" % number, timeout=PATIENCE) for number in range(500)]
assert all(call.result().endswith(b": %d" % number) for number, call in enumerate(calls))
print("all is well")
