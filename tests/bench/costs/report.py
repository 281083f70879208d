"""The table, and the picture of it."""

import dataclasses
import json
import pathlib
import statistics

from cases import CASES
from load import Round

COLOURS = {"antifreeze": "#1f6feb", "nginx": "#2da44e", "haproxy": "#bf8700"}


def load(path: pathlib.Path) -> dict[str, dict[str, list[Round]]]:
    if not path.exists():
        return {}
    kept = json.loads(path.read_text())
    return {case: {front: [Round(**one) for one in rounds] for front, rounds in fronts.items()} for case, fronts in kept.items()}


def save(path: pathlib.Path, results: dict[str, dict[str, list[Round]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {case: {front: [dataclasses.asdict(one) for one in rounds] for front, rounds in fronts.items()} for case, fronts in results.items()}
    path.write_text(json.dumps(plain, indent=1))


def median(rounds: list[Round]) -> Round:
    """The round whose CPU time is the median one."""
    return sorted(rounds, key=lambda one: one.cpu)[len(rounds) // 2]


def table(results: dict[str, dict[str, list[Round]]], versions: dict[str, str]) -> str:
    lines = [
        "| case | proxy | CPU us a request (user + system) | best .. worst round | to nginx | to HAProxy | requests/s | p50, p99 ms | PSS MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        fronts = results.get(case.name, {})
        for name, rounds in fronts.items():
            one = median(rounds)
            all_cpu = sorted(each.cpu for each in rounds)
            rest = [ratio(name, peer, fronts) for peer in ("nginx", "haproxy")]
            lines.append(
                f"| {case.name} | {name} {versions.get(name, '')} | {one.cpu:.1f} ({one.user:.1f} + {one.system:.1f}) | {all_cpu[0]:.1f} .. {all_cpu[-1]:.1f} "
                f"| {rest[0]} | {rest[1]} | {one.rate} | {one.p50:g}, {one.p99:g} | {one.memory / 1024:.1f} |"
            )
    return "\n".join(lines)


def ratio(name: str, peer: str, fronts: dict[str, list[Round]]) -> str:
    """Rounds are interleaved: the median of each round's own ratio is steadier than the ratio of medians."""
    if name != "antifreeze" or peer not in fronts:
        return ""
    return f"{statistics.median(own.cpu / other.cpu for own, other in zip(fronts[name], fronts[peer])):.2f}"


def plot(results: dict[str, dict[str, list[Round]]]) -> str:
    """CPU time a request as bars, as a multiple of nginx's, in SVG."""
    shown = [case for case in CASES if "nginx" in results.get(case.name, {})]
    height, left, scale = 14, 110, 220
    rows, y = [], 34
    for case in shown:
        fronts = results[case.name]
        base = median(fronts["nginx"]).cpu
        rows.append(f'<text x="{left - 8}" y="{y + height * len(fronts) / 2 + 4:.0f}" text-anchor="end">{case.name}</text>')
        for name, rounds in fronts.items():
            cpu = median(rounds).cpu
            width = min(cpu / base, 2.5) * scale
            rows.append(f'<rect x="{left}" y="{y}" width="{width:.0f}" height="{height - 2}" fill="{COLOURS[name]}"/>')
            rows.append(f'<text x="{left + width + 5:.0f}" y="{y + 10}">{cpu:.1f} us</text>')
            y += height
        y += 8
    legend = "".join(
        f'<rect x="{left + 130 * place}" y="10" width="12" height="12" fill="{colour}"/><text x="{left + 130 * place + 17}" y="20">{name}</text>'
        for place, (name, colour) in enumerate(COLOURS.items())
    )
    line = f'<line x1="{left + scale}" y1="28" x2="{left + scale}" y2="{y}" stroke="#888" stroke-dasharray="3"/>'
    size = f'width="{left + int(scale * 2.5) + 80}" height="{y + 6}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11" fill="#57606a">\n'
        f"<title>CPU time of the proxy a request; the dashed line is nginx</title>\n{legend}\n{line}\n" + "\n".join(rows) + "\n</svg>\n"
    )
