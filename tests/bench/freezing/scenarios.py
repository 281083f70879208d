"""What happens to the service, second by second. Faults begin at 0; the fast requests are measured from then on for 25 s."""

import dataclasses

from load import Stream

MEASURED = 25.0
# How long a client waits for something quick, and for something that takes 5 s.
FAST_PATIENCE, AWAIT_PATIENCE = 10.0, 15.0


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    streams: list[Stream]
    # The app's kind: "asgi" (FastAPI on event loops) or "wsgi" (one request at a time).
    app: str = "asgi"
    # What is done to a worker from outside: "stop" (SIGSTOP for 20 s), "kill" (SIGKILL of one each second for 20 s).
    fault: str = ""
    # The measurement ends here at the latest; what is open then counts as unanswered.
    until: float = 40.0

    @property
    def warm_up(self) -> str:
        return self.streams[0].path


def fast(rate: float, path: str = "/") -> Stream:
    return Stream("fast", rate, 0, MEASURED, path, patience=FAST_PATIENCE)


def awaits(rate: float = 1) -> Stream:
    return Stream("await", rate, 0, MEASURED, "/sleep?ms=5000", patience=AWAIT_PATIENCE)


def hung(rate: float, seconds: float, path: str = "/block?ms=20000", method: str = "GET") -> Stream:
    # Never at the very moment of another request.
    return Stream("hung", rate, 0.005, 0.005 + seconds, path, method)


def scenarios(workers: int) -> list[Scenario]:
    """All of them, for a pool of so many workers."""
    return [
        Scenario(
            "one-hung",
            "100 req/s and one 5 s await a second; one request blocks its event loop for 20 s",
            [fast(100), awaits(), hung(1, 1)],
        ),
        Scenario(
            "busy",
            "300 req/s of 50 ms awaits; three requests, 0.3 s apart, block for 20 s",
            [fast(300, "/sleep?ms=50"), awaits(), hung(1 / 0.3, 0.9)],
        ),
        Scenario(
            "outage",
            "100 req/s and one 5 s await a second; for 20 s, one request a second blocks for 20 s",
            [fast(100), awaits(), hung(1, 20)],
        ),
        Scenario(
            "outage-post",
            "the outage, and the route is a POST",
            [fast(100), awaits(), hung(1, 20, method="POST")],
        ),
        Scenario(
            "threads",
            "100 req/s of a quick `def` endpoint and one 5 s await a second; for 20 s, 20 calls a second of another `def` endpoint block for 20 s",
            [fast(100, "/quick"), awaits(), hung(20, 20, path="/stuck?ms=20000")],
        ),
        Scenario(
            "sigstop",
            "100 req/s and one 5 s await a second; one worker is stopped for 20 s",
            [fast(100), awaits()],
            fault="stop",
        ),
        Scenario(
            "crash",
            "100 req/s and one 5 s await a second; for 20 s, one worker a second is killed",
            [fast(100), awaits()],
            fault="kill",
        ),
        Scenario(
            "legit",
            "100 req/s and five 5 s awaits a second; nothing is wrong, so nothing may be killed",
            [fast(100), awaits(5)],
        ),
        Scenario(
            "sync-outage",
            "a synchronous app at 60 % load, calls of 20 ms; for 20 s, one request a second blocks for 20 s",
            [fast(0.6 * workers / 0.020, "/sleep?ms=20"), hung(1, 20)],
            app="wsgi",
        ),
    ]


def scaled(scenario: Scenario, scale: float) -> Scenario:
    """The scenario in a fraction of its time, to try things out. What a healthy request takes stays as it is."""

    def shorten(stream: Stream) -> Stream:
        path = stream.path.replace("ms=20000", f"ms={round(20000 * scale)}")
        # One hung request, or three, stay so many.
        few = (stream.end - stream.start) * stream.rate <= 3
        return dataclasses.replace(stream, path=path, end=stream.end if few else stream.start + (stream.end - stream.start) * scale)

    return dataclasses.replace(scenario, streams=[shorten(stream) for stream in scenario.streams], until=scenario.until * scale + 10 * (1 - scale))
