"""One call of gRPC: grpc_call.py ADDRESS METHOD [NAME=VALUE]. Prints OK and the answer, or the status and its details."""

import sys

import grpc

address, method, metadata = sys.argv[1:4]
fields = [tuple(metadata.split("=", 1))] if metadata else []
request = b"2"
with grpc.insecure_channel(address) as channel:
    try:
        if method == "Forever":
            for _ in channel.unary_stream("/Test/Forever")(request, timeout=60, metadata=fields):
                print("BEGUN", flush=True)
        else:
            answer = channel.unary_unary(f"/Test/{method}")(request, timeout=60, metadata=fields)
            print("OK", answer.decode())
    except grpc.RpcError as error:
        print(error.code().name, error.details())
