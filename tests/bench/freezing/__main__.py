"""The command behind tests/bench/freeze."""

import argparse
import asyncio
import contextlib
import gc
import os
import pathlib
import sys
import tempfile

import report
from load import Load
from scenarios import Scenario, scaled, scenarios
from targets import ROOT, TARGETS, Place, Target, free_port
from workers import Workers

STARTING = 30.0
WARM_UP = 2.0
# A client that sends later than this by itself measures itself.
TOLERABLE_LAG = 50.0


def main() -> None:
    wanted = arguments()
    chosen = [scenario for scenario in scenarios(wanted.n) if scenario.name in wanted.scenario]
    runs = [
        (scenario, target)
        for scenario in chosen
        for target in TARGETS
        if target.name in wanted.only and scenario.app in target.apps
    ]
    for number, (scenario, target) in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] {scenario.name} on {target.name}", file=sys.stderr, flush=True)
        cell = asyncio.run(run(scaled(scenario, wanted.scale), target, wanted.n, wanted.scale))
        if cell.lag_max > TOLERABLE_LAG:
            print(f"the client was up to {cell.lag_max:.0f} ms late by itself; run this one again", file=sys.stderr)
        # Read again each time: another run may have added to it.
        report.save(wanted.json, report.load(wanted.json) | {cell.key: cell})
    order = [f"{scenario.name} {target.name} {n}" for n in (2, 4, 8) for scenario in scenarios(n) for target in TARGETS]
    shown = sorted(report.load(wanted.json).values(), key=lambda cell: order.index(cell.key) if cell.key in order else len(order))
    print(f"{report.table(shown)}\n\n{report.matrix(shown)}")


def arguments() -> argparse.Namespace:
    targets = [target.name for target in TARGETS]
    names = [scenario.name for scenario in scenarios(4)]
    parser = argparse.ArgumentParser(
        prog="tests/bench/freeze",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="What clients see when workers freeze, die or are merely slow: antifreeze beside its peers. "
        "An open-loop client over 64 keep-alive connections; latency counts from the scheduled time; a run takes about 45 s.",
        epilog="scenarios:\n"
        + "\n".join(f"  {scenario.name:12} {scenario.what}" for scenario in scenarios(4))
        + "\n\ntargets:\n"
        + "\n".join(f"  {target.name:14} {target.what}" for target in TARGETS)
        + "\n\nResults are kept in the JSON file and replaced one by one, so that peers need not run again; the tables show them all."
        "\nANTIFREEZE=path measures another binary.",
    )
    parser.add_argument("--all", action="store_true", help="every scenario on every target (about an hour)")
    parser.add_argument("--only", metavar="TARGET,..", type=choices(targets), help="these targets")
    parser.add_argument("--scenario", metavar="NAME,..", type=choices(names), help="these scenarios")
    parser.add_argument("--n", type=int, default=4, help="workers (default 4)")
    parser.add_argument("--scale", type=float, default=1.0, help="faults in a fraction of their time, to try things out")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target" / "freeze.json", help="where results are kept (default target/freeze.json)")
    parser.add_argument("--table", action="store_true", help="run nothing; print what is kept")
    wanted = parser.parse_args()
    if not (wanted.all or wanted.only or wanted.scenario or wanted.table):
        parser.error("say --all, or which: --only antifreeze --scenario outage")
    wanted.only = [] if wanted.table else wanted.only or targets
    wanted.scenario = wanted.scenario or names
    return wanted


def choices(known: list[str]):
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; there are {', '.join(known)}")
        return chosen

    return parse


async def run(scenario: Scenario, target: Target, n: int, scale: float) -> report.Cell:
    with tempfile.TemporaryDirectory(prefix="freeze-") as name:
        folder = pathlib.Path(name)
        # nginx's own worker processes must reach the sockets in it, whatever user they run as.
        folder.chmod(0o755)
        pids = folder / "pids"
        pids.mkdir()
        environment = {key: value for key, value in os.environ.items() if key not in ("WEB_CONCURRENCY", "ANTIFREEZE")}
        environment |= {"WORKER_PIDS": str(pids), "TMPDIR": name, "PYTHONDONTWRITEBYTECODE": "1"}
        place = Place(folder, free_port(), n, scenario.app, environment)
        workers = Workers(pids)
        try:
            async with target.running(place):
                await until_up(place, workers)
                return await measure(scenario, target, place, workers, scale)
        except BaseException:
            print((folder / "log").read_text(errors="replace")[-4000:], file=sys.stderr)
            raise
        finally:
            workers.close()


async def until_up(place: Place, workers: Workers) -> None:
    async with asyncio.timeout(STARTING):
        while len(workers.alive) < place.workers:
            await asyncio.sleep(0.1)
            workers.look()
        clients, streak = Load("127.0.0.1", place.port), 0
        while streak < 5 * place.workers:
            with contextlib.suppress(OSError):
                connection = await clients.connect()
                result, _ = await connection.ask(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                connection.transport.abort()
                streak = streak + 1 if result == "200" else 0
            await asyncio.sleep(0.05)


async def measure(scenario: Scenario, target: Target, place: Place, workers: Workers, scale: float) -> report.Cell:
    load = Load("127.0.0.1", place.port)
    await load.warm_up(scenario.warm_up, WARM_UP)
    workers.look()
    before = set(workers.handles)
    ended = set(workers.ended)
    # A pause for the collector would be a stall of the client.
    gc.collect()
    gc.disable()
    watching = asyncio.create_task(workers.watch())
    suffering = asyncio.create_task(workers.suffer(scenario.fault, scale))
    idle, total = processor_time()
    await load.run(scenario.streams, scenario.until)
    idle_after, total_after = processor_time()
    suffering.cancel()
    watching.cancel()
    gc.enable()
    workers.look()
    return report.measure(
        load.outcomes,
        scenario=scenario.name,
        target=target.name,
        workers=place.workers,
        version=target.describe_version(),
        scale=scale,
        ended=len(workers.ended - workers.sacrificed - ended),
        started=len(workers.handles.keys() - before),
        open=load.most_open,
        busy=1 - (idle_after - idle) / max(total_after - total, 1),
    )


def processor_time() -> tuple[int, int]:
    """Idle and total time of all processors, in ticks."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


if __name__ == "__main__":
    # The client must be on time when every processor is busy; what it starts runs as usual.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    main()
