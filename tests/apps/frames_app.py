"""A worker of HTTP/2 that does with each request what its path says, frame by frame, and writes down what came.

Usage: frames_app.py SOCKET LEDGER [STREAMS]. A path is a list of attempts, /ATTEMPT|ATTEMPT…: the first request of this path
meets the first one, the next the next, and further ones the last. An attempt is a list of steps with commas between. The
ledger is a line of JSON for each event. STREAMS: how many requests one connection may have open."""

import asyncio
import collections
import json
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.settings import SettingCodes

SOCKET, LEDGER = sys.argv[1:3]
STREAMS = int(sys.argv[3]) if len(sys.argv) > 3 else 100
REFUSED_STREAM = 7

attempts = collections.Counter()
connections = 0


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.number = None
        self.transport = transport
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False))
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS})
        self.streams = {}
        self.tasks = []
        self.window = asyncio.Event()
        self.flush()

    def connection_lost(self, error):
        for task in self.tasks:
            task.cancel()
        self.note(None, "lost")

    def data_received(self, data):
        for event in self.h2.receive_data(data):
            stream = self.streams.get(getattr(event, "stream_id", None))
            match event:
                case RequestReceived():
                    self.open(event)
                case DataReceived() if stream:
                    stream.put_nowait(("data", event.data, event.flow_controlled_length))
                case TrailersReceived() if stream:
                    stream.put_nowait(("trailers", event.headers))
                case StreamEnded() if stream:
                    stream.put_nowait(("end",))
                case StreamReset():
                    self.note(event.stream_id, "reset", code=int(event.error_code))
                case WindowUpdated():
                    self.window.set()
                case ConnectionTerminated():
                    self.note(None, "goodbye")
        self.flush()

    def open(self, event):
        global connections
        headers = dict(event.headers)
        path = headers[":path"]
        if path == "*":
            self.h2.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
            return
        if self.number is None:
            connections += 1
            self.number = connections
        self.note(event.stream_id, "request", path=path, headers=event.headers)
        scripts = path.split("?")[0].lstrip("/").split("%7C")
        steps = scripts[min(attempts[path], len(scripts) - 1)].split(",")
        attempts[path] += 1
        self.streams[event.stream_id] = asyncio.Queue()
        task = asyncio.ensure_future(self.perform(event.stream_id, steps))
        task.add_done_callback(lambda task: task.cancelled() or task.result())
        self.tasks.append(task)

    async def perform(self, stream, steps):
        for step in steps:
            verb, _, argument = step.partition(":")
            await getattr(self, f"step_{verb}")(stream, argument)
            self.flush()

    async def step_refuse(self, stream, _):
        self.h2.reset_stream(stream, REFUSED_STREAM)

    async def step_reset(self, stream, code):
        self.h2.reset_stream(stream, int(code))

    async def step_goaway(self, stream, _):
        """This request was not read, and nothing will be."""
        self.h2.close_connection(last_stream_id=stream - 2)
        self.flush()
        self.transport.close()

    async def step_goodbye(self, stream, _):
        """This request is the last one."""
        self.transport.write(bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + stream.to_bytes(4, "big") + bytes(4))

    async def step_garbage(self, stream, _):
        """Data on no stream (RFC 9113 section 6.1)."""
        self.transport.write(bytes([0, 0, 1, 0, 0, 0, 0, 0, 0, 0]))

    async def step_head(self, stream, argument):
        """A status and perhaps a length: 200x9."""
        status, _, length = argument.partition("x")
        fields = [("content-length", length)] if length else []
        self.h2.send_headers(stream, [(":status", status or "200"), ("x-connection", str(self.number)), *fields])

    async def step_interim(self, stream, argument):
        status, _, count = argument.partition("x")
        for _ in range(int(count or 1)):
            self.h2.send_headers(stream, [(":status", status), ("link", "</a.css>")])

    async def step_data(self, stream, text):
        self.h2.send_data(stream, text.encode())

    async def step_much(self, stream, count):
        """So many bytes, as the windows allow."""
        left = int(count)
        while left:
            size = min(left, self.h2.local_flow_control_window(stream), 16384)
            if not size:
                self.note(stream, "full", left=left)
                self.window.clear()
                await self.window.wait()
                continue
            self.h2.send_data(stream, bytes(size))
            left -= size
            self.flush()

    async def step_trailers(self, stream, value):
        self.h2.send_headers(stream, [("x-sum", value), ("grpc-status", "0"), ("content-length", "9")], end_stream=True)

    async def step_end(self, stream, _):
        self.h2.end_stream(stream)

    async def step_ok(self, stream, _):
        self.h2.send_headers(stream, [(":status", "200"), ("x-connection", str(self.number)), ("content-length", "2")])
        self.h2.send_data(stream, b"ok", end_stream=True)

    async def step_body(self, stream, _):
        length, trailers = 0, []
        while (event := await self.streams[stream].get())[0] != "end":
            if event[0] == "trailers":
                trailers = event[1]
            else:
                length += len(event[1])
                self.h2.acknowledge_received_data(event[2], stream)
                self.flush()
        self.note(stream, "body", length=length, trailers=trailers)

    async def step_echo(self, stream, _):
        while (event := await self.streams[stream].get())[0] == "data":
            self.h2.acknowledge_received_data(event[2], stream)
            self.h2.send_data(stream, event[1])
            self.flush()

    async def step_close(self, *_):
        self.flush()
        self.transport.abort()

    async def step_hang(self, *_):
        await asyncio.Event().wait()

    def flush(self):
        self.transport.write(self.h2.data_to_send())

    def note(self, stream, event, **more):
        if self.number is not None or event == "request":
            with open(LEDGER, "a") as ledger:
                line = {"connection": self.number, "stream": stream, "event": event, **more}
                ledger.write(json.dumps(line) + "\n")


async def main():
    server = await asyncio.get_running_loop().create_unix_server(Connection, SOCKET)
    await server.serve_forever()


asyncio.run(main())
