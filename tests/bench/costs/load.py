"""One round of load on one proxy."""

import dataclasses
import pathlib
import re
import subprocess
import time

from cases import Case
from fronts import Front

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclasses.dataclass
class Round:
    """Microseconds of CPU time a request, requests a second, latencies in milliseconds, KiB."""

    user: float
    system: float
    rate: float
    p50: float
    p99: float
    memory: int

    @property
    def cpu(self) -> float:
        return self.user + self.system


def run(case: Case, front: Front, seconds: int, folder: pathlib.Path, pace: float | None) -> Round:
    url = f"http{'s' if case.site.tls else ''}://127.0.0.1:{front.port}{case.path}"
    with_h2load = case.http2 or pace is not None
    command = h2load(case, url, seconds, folder, pace) if with_h2load else wrk(case, url, seconds, folder)
    before, began = front.cpu(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(max(0.0, seconds - 0.3))
    memory = front.memory()
    output, _ = process.communicate(timeout=seconds + 60)
    after = front.cpu()
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} on {front.name}: {output}")
    requests, p50, p99 = (of_h2load if with_h2load else of_wrk)(output, folder, front.name)
    if requests == 0:
        raise SystemExit(f"{front.name} answers nothing within {seconds} s: give it more --seconds")
    took = min(seconds, time.monotonic() - began)
    user, system = ((after[kind] - before[kind]) * 1e6 / requests for kind in (0, 1))
    return Round(round(user, 2), round(system, 2), round(requests / took), p50, p99, memory)


def wrk(case: Case, url: str, seconds: int, folder: pathlib.Path) -> list[str]:
    words = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    if case.closing:
        words += ["-H", "Connection: close"]
    if case.body:
        script = folder / "upload.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {case.body})\n')
        words += ["-s", str(script)]
    return [*words, url]


def of_wrk(output: str, _: pathlib.Path, name: str) -> tuple[int, float, float]:
    if re.search("Non-2xx|Socket errors", output):
        # An error is cheap to make.
        raise SystemExit(f"{name} does not answer as it should:\n{output}")
    latencies = {share: float(time) * UNITS[unit] for share, time, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s|m)\b", output)}
    return int(re.search(r"(\d+) requests in", output)[1]), round(latencies["50"], 2), round(latencies["99"], 2)


def h2load(case: Case, url: str, seconds: int, folder: pathlib.Path, pace: float | None) -> list[str]:
    words = ["h2load", "-t1", f"-c{case.connections}", f"-D{seconds}", f"--log-file={folder}/h2load"]
    words += ["-m8"] if case.http2 else ["--h1"]
    if pace is not None:
        words += [f"--rps={pace / case.connections:.3f}"]
    (folder / "h2load").unlink(missing_ok=True)
    return [*words, url]


def of_h2load(output: str, folder: pathlib.Path, name: str) -> tuple[int, float, float]:
    rows = [line.split("\t") for line in (folder / "h2load").read_text().splitlines()]
    failed = [row for row in rows if not row[1].startswith("2")]
    if failed or not rows:
        raise SystemExit(f"{name} does not answer as it should: {len(failed)} of {len(rows)} failed\n{output}")
    took = sorted(int(row[2]) / 1000 for row in rows)
    return len(rows), round(took[len(took) // 2], 2), round(took[len(took) * 99 // 100], 2)
