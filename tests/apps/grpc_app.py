"""A gRPC service without generated code: messages are bytes. Usage: grpc_app.py SOCKET [aio]

Each method says which worker answers, so that a client sees where its calls went."""

import asyncio
import os
import sys
import time
from concurrent import futures

import grpc

GREETING = f"worker {os.getpid()}: ".encode()


def unary(request, context):
    context.set_trailing_metadata((("x-sum", str(len(request))), ("x-data-bin", b"\0\1")))
    return GREETING + request


def seen(request, context):
    """The metadata that came."""
    return b"\n".join(f"{name}={value}".encode() for name, value in context.invocation_metadata())


def count(request, context):
    """As many answers as are asked for."""
    for number in range(int(request)):
        yield str(number).encode()


def gather(requests, context):
    return b",".join(requests)


def echo(requests, context):
    for request in requests:
        yield GREETING + request


def fail(request, context):
    context.set_trailing_metadata((("x-why", "a test"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nicht möglich: 100 %")


def half(request, context):
    """One answer, and then an error."""
    yield GREETING
    context.abort(grpc.StatusCode.DATA_LOSS, "half")


def sleep(request, context):
    """Answers after so many seconds; leaves one file if the caller leaves before, and another at once."""
    seconds, left, began, *_ = request.decode().split(" ") + ["", ""]
    if began:
        open(began, "w").close()
    end = time.monotonic() + float(seconds)
    while context.is_active() and time.monotonic() < end:
        time.sleep(0.01)
    if left and not context.is_active():
        open(left, "w").close()
    return GREETING


def forever(request, context):
    while context.is_active():
        yield GREETING
        time.sleep(0.01)


def die(request, context):
    os._exit(1)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Seen": grpc.unary_unary_rpc_method_handler(seen),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Gather": grpc.stream_unary_rpc_method_handler(gather),
    "Echo": grpc.stream_stream_rpc_method_handler(echo),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Half": grpc.unary_stream_rpc_method_handler(half),
    "Forever": grpc.unary_stream_rpc_method_handler(forever),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Die": grpc.unary_unary_rpc_method_handler(die),
}


def run(address):
    server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[grpc.method_handlers_generic_handler("Test", METHODS)])
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


async def run_loop(address):
    """By grpc.aio: what blocks its event loop blocks all calls."""

    async def unary(request, context):
        return GREETING + request

    async def block(request, context):
        time.sleep(float(request))
        return GREETING

    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Block": grpc.unary_unary_rpc_method_handler(block),
    }
    server = grpc.aio.server(handlers=[grpc.method_handlers_generic_handler("Test", methods)])
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[2:] == ["aio"]:
        asyncio.run(run_loop(f"unix:{sys.argv[1]}"))
    else:
        run(f"unix:{sys.argv[1]}")
