"""The table, and the picture of it."""

import dataclasses
import json
import pathlib
import statistics

from cases import CASES
from load import Round

COLOURS = {"antifreeze": "#1f6feb", "beside": "#79c0ff", "nginx": "#2da44e", "haproxy": "#bf8700", "envoy": "#8250df", "caddy": "#cf222e", "traefik": "#6e7781"}


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
        "| case | proxy | CPU us a request (user + system) | best .. worst round | antifreeze to it | requests/s | p50, p99 ms | PSS MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        fronts = results.get(case.name, {})
        for name, rounds in fronts.items():
            one = median(rounds)
            all_cpu = sorted(each.cpu for each in rounds)
            lines.append(
                f"| {case.name} | {name} {versions.get(name, '')} | {one.cpu:.1f} ({one.user:.1f} + {one.system:.1f}) | {all_cpu[0]:.1f} .. {all_cpu[-1]:.1f} "
                f"| {ratio(name, fronts)} | {one.rate} | {one.p50:g}, {one.p99:g} | {one.memory / 1024:.1f} |"
            )
    return "\n".join(lines)


def ratio(peer: str, fronts: dict[str, list[Round]]) -> str:
    """Rounds are interleaved: the median of each round's own ratio is steadier than the ratio of medians."""
    if peer == "antifreeze" or "antifreeze" not in fronts:
        return ""
    return f"{statistics.median(own.cpu / other.cpu for own, other in zip(fronts['antifreeze'], fronts[peer])):.2f}"


def plot(results: dict[str, dict[str, list[Round]]]) -> str:
    """CPU time a request as bars, as a multiple of nginx's, in SVG."""
    cpu = {case.name: {name: median(rounds).cpu for name, rounds in results[case.name].items()} for case in CASES if "nginx" in results.get(case.name, {})}
    ratios = {case: {name: one / fronts["nginx"] for name, one in fronts.items()} for case, fronts in cpu.items()}
    height, left, width = 14, 80, 700
    scale = width / max(max(fronts.values()) for fronts in ratios.values())
    rows, y = [], 34
    for case, fronts in ratios.items():
        rows.append(f'<text x="{left - 8}" y="{y + height * len(fronts) / 2 + 3:.0f}" text-anchor="end">{case}</text>')
        for name, ratio_to_nginx in fronts.items():
            rows.append(f'<rect x="{left}" y="{y}" width="{ratio_to_nginx * scale:.0f}" height="{height - 2}" fill="{COLOURS[name]}"/>')
            # No figure is crossed by the line.
            rows.append(f'<text x="{left + max(ratio_to_nginx, 1) * scale + 5:.0f}" y="{y + 10}">{cpu[case][name]:.1f} us</text>')
            y += height
        y += 8
    shown = [name for name in COLOURS if any(name in fronts for fronts in cpu.values())]
    legend = "".join(
        f'<rect x="{left + 100 * place}" y="8" width="12" height="12" fill="{COLOURS[name]}"/><text x="{left + 100 * place + 17}" y="18">{name}</text>'
        for place, name in enumerate(shown)
    )
    line = f'<line x1="{left + scale:.0f}" y1="28" x2="{left + scale:.0f}" y2="{y}" stroke="#888" stroke-dasharray="3"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{y}" font-family="sans-serif" font-size="11" fill="#57606a">\n'
        f"<title>CPU time of the proxy a request; the dashed line is nginx</title>\n{legend}\n{line}\n" + "\n".join(rows) + "\n</svg>\n"
    )
