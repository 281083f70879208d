"""The load, the kills and the accounts of tests/soak/kills. Arguments: the proxy's address and the admin API's."""

import asyncio
import collections
import json
import os
import signal
import sys
import time
import urllib.request
from dataclasses import dataclass

PROXY, ADMIN = sys.argv[1:]
RATE, KILLS, CONNECTIONS = int(os.environ.get("RATE", 200)), int(os.environ.get("KILLS", 200)), 32
REQUEST = b"GET /slow?ms=20 HTTP/1.1\r\nHost: test\r\n\r\n"


@dataclass
class Request:
    scheduled: float
    ended: float = 0.0
    verdict: str = ""


@dataclass
class Kill:
    worker: str
    at: float
    held: int
    """Requests that the worker held just before, as the admin API tells."""
    over: float = 0.0
    """When its process had ended: the kernel takes its time."""


def workers() -> list[dict]:
    with urllib.request.urlopen(f"http://{ADMIN}/api/v1/status") as answer:
        return json.load(answer)["pools"][0]["workers"]


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bool]:
    """The verdict on one request, and whether the connection goes on."""
    writer.write(REQUEST)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    await reader.readexactly(int(fields["content-length"]))
    reason = fields.get("x-antifreeze")
    status = head.split(" ")[1]
    # On a success it says by which way that came.
    return (f"{status} {reason}" if reason and status != "200" else status), fields.get("connection") != "close"


async def client(due: asyncio.Queue, done: list[Request]) -> None:
    """One keep-alive connection, opened again when it was closed."""
    connection = None
    while (request := await due.get()) is not None:
        try:
            connection = connection or await asyncio.open_connection(*PROXY.split(":"))
            request.verdict, goes_on = await exchange(*connection)
        except (OSError, asyncio.IncompleteReadError) as error:
            request.verdict, goes_on = f"broken connection ({type(error).__name__})", False
        request.ended = time.monotonic()
        done.append(request)
        if not goes_on and connection:
            connection[1].close()
            connection = None


async def send(due: asyncio.Queue, stop: asyncio.Event) -> None:
    began, number = time.monotonic(), 0
    while not stop.is_set():
        at = began + number / RATE
        await asyncio.sleep(at - time.monotonic())
        due.put_nowait(Request(at))
        number += 1
    for _ in range(CONNECTIONS):
        due.put_nowait(None)


async def ended(process: int) -> None:
    """Waits until a process has ended, of which this is a descriptor (pidfd_open(2))."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(process, over.set)
    await over.wait()
    asyncio.get_running_loop().remove_reader(process)
    os.close(process)


async def kill(stop: asyncio.Event) -> list[Kill]:
    kills: list[Kill] = []
    while len(kills) < KILLS:
        await asyncio.sleep(0.05)
        serving = [worker for worker in await asyncio.to_thread(workers) if worker["state"] == "serving"]
        if len(serving) >= 3:
            victim = serving[len(kills) % len(serving)]
            process = os.pidfd_open(victim["pid"])
            kills.append(Kill(f"web.{victim['slot']}", time.monotonic(), victim["in_flight"]))
            signal.pidfd_send_signal(process, signal.SIGKILL)
            await ended(process)
            kills[-1].over = time.monotonic()
            await asyncio.sleep(0.2)
    await asyncio.sleep(1)
    stop.set()
    return kills


async def main() -> int:
    while sum(worker["state"] == "serving" for worker in workers()) < 4:
        await asyncio.sleep(0.1)
    due: asyncio.Queue = asyncio.Queue()
    done: list[Request] = []
    stop = asyncio.Event()
    *_, kills = await asyncio.gather(*(client(due, done) for _ in range(CONNECTIONS)), send(due, stop), kill(stop))

    times = sorted(request.ended - request.scheduled for request in done)
    quantile = lambda share: times[min(len(times) - 1, int(len(times) * share))] * 1000
    print(f"{len(done)} requests at {RATE}/s over {CONNECTIONS} connections, {len(kills)} kills")
    print(f"latency from the schedule: p50 {quantile(0.5):.0f} ms, p99 {quantile(0.99):.0f} ms, max {times[-1] * 1000:.0f} ms")
    print("\nanswers:")
    for verdict, count in collections.Counter(request.verdict for request in done).most_common():
        print(f"  {count:7} {verdict}")

    with urllib.request.urlopen(f"http://{ADMIN}/metrics") as answer:
        metrics = answer.read().decode()
    print("sent again by the proxy:")
    for line in metrics.splitlines():
        if line.startswith("antifreeze_retries_total"):
            *_, reason, count = line.split('"')
            print(f"  {count.removeprefix('} '):>7} {reason}")

    failed = [request for request in done if request.verdict != "200"]
    lost: dict[int, int] = collections.Counter()
    stray = []
    for request in failed:
        # A lost request ends with its worker: at the last kill before its end. A worker may take one more in as it dies.
        during = [n for n, kill in enumerate(kills) if request.scheduled <= kill.over and kill.at <= request.ended]
        if during and request.verdict == "502 lost":
            lost[during[-1]] += 1
        else:
            stray.append(request)
    print("\nby worker:  kills  held at the kill  lost")
    for name in sorted({kill.worker for kill in kills}):
        own = [(n, kill) for n, kill in enumerate(kills) if kill.worker == name]
        print(f"  {name:8} {len(own):6} {sum(kill.held for _, kill in own):17} {sum(lost[n] for n, _ in own):5}")
    held = sum(kill.held for kill in kills)
    print(f"  {'all':8} {len(kills):6} {held:17} {sum(lost.values()):5}")
    print(f"\nnot accounted for: {len(stray)}")
    for request in stray[:20]:
        print(f"  {request.verdict} after {request.ended - request.scheduled:.3f} s")
    return 1 if stray else 0


sys.exit(asyncio.run(main()))
