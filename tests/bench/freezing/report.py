"""From outcomes to a table."""

import collections
import dataclasses
import json
import math
import pathlib
from typing import Any

from load import Outcome

# Later than this, an answer is as good as none.
IN_TIME = 1.0


@dataclasses.dataclass
class Cell:
    """One scenario on one target. Times in milliseconds; null (infinite) if there was no answer."""

    scenario: str
    target: str
    workers: int
    version: str
    scale: float
    fast: int
    in_time: float
    p50: float | None
    p99: float | None
    slowest: float | None
    failed: dict[str, int]
    awaits: dict[str, int]
    hung: dict[str, int]
    # Workers that ended without the scenario's doing, and that came after the start.
    ended: int
    started: int
    # How late the client itself sent, and how many requests it had open at most.
    lag_p99: float
    lag_max: float
    open: int
    # The share of all processors' time that was used, by whomever: above some 0.6, others disturbed the measurement.
    busy: float

    @property
    def key(self) -> str:
        return f"{self.scenario} {self.target} {self.workers}"


def measure(outcomes: list[Outcome], **known: Any) -> Cell:
    fast = [outcome for outcome in outcomes if outcome.kind == "fast"]
    took = sorted(outcome.took if outcome.result == "200" else math.inf for outcome in fast)
    lags = sorted(outcome.lag for outcome in outcomes)
    return Cell(
        fast=len(fast),
        in_time=sum(time <= IN_TIME for time in took) / len(fast),
        p50=milliseconds(percentile(took, 0.50)),
        p99=milliseconds(percentile(took, 0.99)),
        slowest=milliseconds(took[-1]),
        failed=fates(fast, without="200"),
        awaits=fates(outcome for outcome in outcomes if outcome.kind == "await"),
        hung=fates(outcome for outcome in outcomes if outcome.kind == "hung"),
        lag_p99=milliseconds(percentile(lags, 0.99)),
        lag_max=milliseconds(lags[-1]),
        **known,
    )


def fates(outcomes: Any, without: str = "") -> dict[str, int]:
    counts = collections.Counter(outcome.result for outcome in outcomes if outcome.result != without)
    return dict(counts.most_common())


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: float) -> float | None:
    return round(seconds * 1000, 1) if math.isfinite(seconds) else None


def load(path: pathlib.Path) -> dict[str, Cell]:
    if not path.exists():
        return {}
    cells = [Cell(**cell) for cell in json.loads(path.read_text())]
    return {cell.key: cell for cell in cells}


def save(path: pathlib.Path, cells: dict[str, Cell]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([dataclasses.asdict(cell) for cell in cells.values()], indent=1) + "\n")


HEAD = [
    "scenario", "N", "target", "fast in 1 s", "p50 ms", "p99 ms", "max ms", "fast failed", "awaits", "hung", "ended/new workers", "client lag p99/max ms", "cpu",
]


def table(cells: list[Cell]) -> str:
    rows = [HEAD, ["---"] * len(HEAD), *(row(cell) for cell in cells)]
    return "\n".join(f"| {' | '.join(columns)} |" for columns in rows)


def matrix(cells: list[Cell]) -> str:
    """The short form: the fast requests answered within 1 s, and the awaits answered 200, as percentages."""
    scenarios = list(dict.fromkeys((cell.scenario, cell.workers) for cell in cells))
    targets = list(dict.fromkeys(f"{cell.target} {cell.version}" for cell in cells))
    known = {(f"{cell.target} {cell.version}", cell.scenario, cell.workers): brief(cell) for cell in cells}
    head = ["fast in 1 s / awaits 200", *(f"{scenario}, N={workers}" for scenario, workers in scenarios)]
    rows = [[target, *(known.get((target, *scenario), "") for scenario in scenarios)] for target in targets]
    return "\n".join(f"| {' | '.join(columns)} |" for columns in [head, ["---"] * len(head), *rows])


def brief(cell: Cell) -> str:
    awaits = sum(cell.awaits.values())
    return share(cell.in_time) + (f" / {share(cell.awaits.get('200', 0) / awaits)}" if awaits else "")


def row(cell: Cell) -> list[str]:
    return [
        cell.scenario + (f" (x{cell.scale:g})" if cell.scale != 1 else ""),
        str(cell.workers),
        f"{cell.target} {cell.version}",
        share(cell.in_time),
        *(("-" if time is None else f"{time:.0f}") for time in (cell.p50, cell.p99, cell.slowest)),
        listed(cell.failed),
        listed(cell.awaits),
        listed(cell.hung),
        f"{cell.ended}/{cell.started}",
        f"{cell.lag_p99:.0f}/{cell.lag_max:.0f}",
        f"{cell.busy:.0%}",
    ]


def share(value: float) -> str:
    """Never rounded up to a success."""
    return f"{math.floor(value * 10000) / 100:g} %"


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {result}" for result, count in counts.items()) or "0"
