"""An open-loop HTTP/1.1 client: every request is sent when its time has come, whatever became of the ones before, and its latency
counts from that time. So a server that stops cannot hide the requests that it kept from being sent (coordinated omission)."""

import asyncio
import collections
import dataclasses
import math

KEEP_ALIVE = 64
UNANSWERED = "unanswered"


@dataclasses.dataclass(frozen=True)
class Stream:
    """Requests of one kind at a steady rate, from `start` until before `end` (seconds)."""

    kind: str
    rate: float
    start: float
    end: float
    path: str
    method: str = "GET"
    # A client that waited this long goes away.
    patience: float = math.inf


@dataclasses.dataclass
class Outcome:
    """What became of one request. `took` is infinite unless a whole answer came."""

    kind: str
    at: float
    lag: float
    result: str = UNANSWERED
    took: float = math.inf


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[str, bool]] | None = None
        self.buffer = bytearray()

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, head: bytes) -> asyncio.Future[tuple[str, bool]]:
        """Resolves with the result (the status, and antifreeze's reason if it answered itself) and whether the connection stays."""
        self.buffer.clear()
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(head)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.deliver(ended=False)

    def connection_lost(self, error: Exception | None) -> None:
        self.deliver(ended=True)
        if self.answer and not self.answer.done():
            self.answer.set_result(("cut off" if self.buffer else "reset", False))

    def deliver(self, *, ended: bool) -> None:
        if not self.answer or self.answer.done():
            return
        head, found, body = bytes(self.buffer).partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if "content-length" in headers:
            complete = len(body) >= int(headers["content-length"])
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            complete = body.endswith(b"0\r\n\r\n")
        else:
            complete = ended
        if complete:
            status = lines[0].split(" ")[1]
            # On a success the field says by which way it came.
            result = status if status == "200" else f"{status} {headers.get('x-antifreeze', '')}".strip()
            self.answer.set_result((result, not ended and headers.get("connection", "").lower() != "close"))


class Load:
    """The clients of one run. Requests rotate over the idle connections; one that finds none opens another, so none waits."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.idle: collections.deque[Connection] = collections.deque()
        self.outcomes: list[Outcome] = []
        self.open = self.most_open = 0

    async def connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        return connection

    async def warm_up(self, path: str, seconds: float) -> None:
        """Opens the keep-alive connections and uses them at a gentle rate; what happens here is not counted."""
        self.idle.extend([await self.connect() for _ in range(KEEP_ALIVE)])
        await self.run([Stream("warm-up", 50, 0, seconds, path, patience=5)], seconds + 5)
        self.outcomes.clear()
        self.most_open = 0

    async def run(self, streams: list[Stream], until: float) -> None:
        """Sends the streams and returns when all requests with a patience are settled, at `until` at the latest."""
        began = asyncio.get_running_loop().time()
        requests = [task async for task in self.send_all(streams, began)]
        left = began + until - asyncio.get_running_loop().time()
        _, unanswered = await asyncio.wait(requests, timeout=max(left, 0))
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*unanswered, return_exceptions=True)

    async def send_all(self, streams: list[Stream], began: float):
        loop = asyncio.get_running_loop()
        schedule = sorted(
            (stream.start + number / stream.rate, index)
            for index, stream in enumerate(streams)
            for number in range(round((stream.end - stream.start) * stream.rate))
        )
        for at, index in schedule:
            wait = began + at - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            outcome = Outcome(streams[index].kind, at, lag=loop.time() - began - at)
            self.outcomes.append(outcome)
            yield asyncio.create_task(self.send(streams[index], outcome, began + at))

    async def send(self, stream: Stream, outcome: Outcome, scheduled: float) -> None:
        connection = None
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            async with asyncio.timeout_at(None if math.isinf(stream.patience) else scheduled + stream.patience):
                while self.idle and not connection:
                    oldest = self.idle.popleft()
                    connection = oldest if oldest.open else None
                connection = connection or await self.connect()
                length = "" if stream.method == "GET" else "Content-Length: 0\r\n"
                head = f"{stream.method} {stream.path} HTTP/1.1\r\nHost: bench\r\n{length}\r\n"
                outcome.result, stays = await connection.ask(head.encode())
            if outcome.result[0].isdigit():
                outcome.took = asyncio.get_running_loop().time() - scheduled
            if stays and len(self.idle) < KEEP_ALIVE:
                self.idle.append(connection)
                connection = None
        except TimeoutError:
            # It stays unanswered. (Before OSError, which it is one of.)
            pass
        except OSError as error:
            outcome.result = "refused" if isinstance(error, ConnectionRefusedError) else type(error).__name__
        finally:
            self.open -= 1
            if connection and connection.transport:
                connection.transport.abort()
