"""The command behind tests/bench/hotpath."""

import argparse
import pathlib
import resource
import sys
import tempfile

import load
import report
from cases import CASES, Case
from fronts import NAMES, USUAL, fronts, versions
from wheels import ROOT
from words import choices


def main() -> None:
    wanted = arguments()
    known = versions(wanted.only)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    chosen = [case for case in CASES if case.name in wanted.case]
    for site in dict.fromkeys(case.site for case in chosen):
        with tempfile.TemporaryDirectory(prefix="hotpath-") as name:
            folder = pathlib.Path(name)
            # nginx's own processes must reach the sockets in it.
            folder.chmod(0o755)
            with fronts(folder, site, wanted.only, wanted.beside) as running:
                for case in (case for case in chosen if case.site == site):
                    pace = fastest(wanted, running, folder) if case.paced else None
                    results = rounds(case, running, folder, wanted, pace)
                    report.save(wanted.json, report.load(wanted.json) | {case.name: results})
    kept = report.load(wanted.json)
    print(report.table(kept, known))
    if wanted.svg:
        wanted.svg.write_text(report.plot(kept))


def rounds(case: Case, running: dict, folder: pathlib.Path, wanted: argparse.Namespace, pace: float | None) -> dict[str, list[load.Round]]:
    results: dict[str, list[load.Round]] = {name: [] for name in running}
    for number in range(wanted.rounds + 1):
        for name, front in running.items():
            print(f"{case.name}: round {number} of {wanted.rounds}, {name}", file=sys.stderr, flush=True)
            one = load.run(case, front, wanted.seconds, folder, pace)
            # The first one warms up: with 8,000 connections there may be no answer within the first second.
            if number:
                results[name].append(one)
    return results


def fastest(wanted: argparse.Namespace, running: dict, folder: pathlib.Path) -> float:
    """Half of the requests a second that nginx, or else the first of them, serves at most."""
    front = running.get("nginx", next(iter(running.values())))
    return load.run(CASES[0], front, wanted.seconds, folder, None).rate / 2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench/hotpath",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="What a proxied request costs: CPU time of the proxy alone, beside nginx and HAProxy (and Envoy, Caddy, Traefik) before the same\n"
        "workers, antifreeze with its defaults. Rounds are interleaved; the table gives the round with the median CPU time. Everything shares\n"
        "this machine's processors: compare the figures of one run, not those of two. An answer other than 2xx ends the run.\n\n"
        "Traefik knows no unix sockets behind it: its workers are others of the same kind, on ports of 127.0.0.1. It draws no id for a\n"
        "request; Envoy and Traefik give it to the better of two workers, the others to the best of all. Access logs hold what these\n"
        "proxies put there by themselves (Caddy, Traefik) or the fields that antifreeze's has (the others).",
        epilog="cases:\n" + "\n".join(f"  {case.name:12} {case.what}" for case in CASES) + "\n\nBINARY=path measures another binary.",
    )
    parser.add_argument("--case", type=choices([case.name for case in CASES]), default=["get"], metavar="NAME,..", help="these cases, or 'all' (default get)")
    parser.add_argument("--only", type=choices(NAMES), default=USUAL, metavar="PROXY,..", help=f"of {', '.join(NAMES)}; or 'all' (default {','.join(USUAL)})")
    parser.add_argument("--beside", type=existing, metavar="FILE", help="another build of antifreeze, with workers of its own: before and after in one run")
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--seconds", type=int, default=3, help="of each round (default 3)")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "target" / "hotpath.json", help="where results are kept, case by case (default target/hotpath.json)")
    parser.add_argument("--svg", type=pathlib.Path, help="draws the picture of all that is kept")
    return parser.parse_args()


def existing(text: str) -> pathlib.Path:
    file = pathlib.Path(text).resolve()
    if not file.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {file} (paths begin at the project's folder)")
    return file


main()
