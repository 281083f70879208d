"""Runs every case of every client on every edge with every server, at the server itself and behind antifreeze, and compares
what clients and apps saw. An edge is how a client is spoken to: h1, h1+tls, h2 (inside TLS, by ALPN), h2c (without TLS)."""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import servers
from compare import DOCUMENTED, Run, differences, reason_for

HERE = pathlib.Path(__file__).parent
KNOWN = json.loads((HERE / "cases.json").read_text())
CASES = KNOWN["cases"]
PYTHON = HERE.parent.parent / ".venv" / "bin" / "python"
# The command of each client, and the edges that it knows.
CLIENTS = {
    "curl": ([PYTHON, HERE / "client_curl.py"], servers.EDGES),
    "httpx": ([PYTHON, HERE / "client_httpx.py"], servers.EDGES),
    "aiohttp": ([PYTHON, HERE / "client_aiohttp.py"], ["h1", "h1+tls"]),
    "undici": (["node", HERE / "client_undici.mjs"], ["h1", "h1+tls", "h2"]),
    "node-http": (["node", HERE / "client_node_http.mjs"], servers.EDGES),
    "chromium": (["node", HERE / "client_chromium.mjs"], ["h1", "h1+tls", "h2"]),
}
# What a run is compared with: the first of these that the server and the client have.
NEAREST = {"h1": ["h1"], "h1+tls": ["h1+tls"], "h2": ["h2", "h1+tls"], "h2c": ["h2c", "h1"]}
# Of these there are no WebSockets by HTTP/2.
LACKS = {(server, edge, "websocket") for server in ("granian", "node") for edge in ("h2", "h2c")}
# What clients cannot do.
NONE = {(client, edge, "websocket"): "knows no WebSockets" for client in ("curl", "httpx") for edge in servers.EDGES}
NONE |= {("chromium", edge, "chunked-upload"): "streams uploads by HTTP/2 alone" for edge in ("h1", "h1+tls")}
# undici 7 wants a Sec-WebSocket-Accept there, which RFC 8441 section 5 does away with; undici 8 does not.
NONE["undici", "h2", "websocket"] = "knows no WebSockets by HTTP/2"


def main():
    wanted, work = arguments()
    # So that what was started ends with this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    make_upload(work / "upload")
    os.environ["UPLOAD"], os.environ["CA"] = str(work / "upload"), str(wanted.ca)
    known = servers.known(work, wanted.chain, wanted.key)
    columns = [Column(name, known[name], work, wanted).run() for name in wanted.server]
    sys.exit(report(columns, wanted))


class Column:
    """One server: everything that is asked of it."""

    def __init__(self, name, server, work, wanted):
        self.name, self.server, self.work, self.wanted = name, server, work, wanted
        self.places, self.direct = {}, {}
        self.cells, self.undocumented, self.documented = {}, [], collections.Counter()

    def run(self):
        try:
            wanted = self.wanted
            behind = servers.start_antifreeze(self.work, self.name, self.server, wanted.binary, wanted.chain, wanted.key)
            self.places["antifreeze"] = behind
            for client in wanted.client:
                for edge in wanted.edge:
                    if edge in CLIENTS[client][1]:
                        self.fill(client, edge, behind)
        finally:
            servers.stop(self.places.values())
        return self

    def fill(self, client, edge, behind):
        began = time.monotonic()
        alone = "h1+tls alone" if client == "chromium" and edge == "h1+tls" else edge
        cases = [case for case in self.wanted.case if (client, edge, case) not in NONE]
        if not cases:
            self.cells[client, edge] = "client has none"
            return
        proxied = self.ask(client, edge, behind.origins[alone], behind, cases)
        passed = 0
        for case, found in proxied.items():
            direct = self.directly(client, edge, case)
            complaints = self.compare(case, direct, found)
            passed += not complaints
            for complaint in complaints:
                self.undocumented.append((client, edge, self.name, case, complaint))
        self.cells[client, edge] = f"{passed}/{len(cases)}"
        taken = time.monotonic() - began
        print(f"{client}, {edge}, {self.name}: {passed}/{len(cases)} in {taken:.0f} s", file=sys.stderr, flush=True)

    def directly(self, client, edge, case):
        """The case at the server itself, on the nearest edge; once."""
        candidates = [near for near in NEAREST[edge] if near in self.server.direct and near in CLIENTS[client][1]]
        candidates = [near for near in candidates if (self.name, near, case) not in LACKS]
        near = candidates[0]
        if (client, near, case) not in self.direct:
            if near not in self.places:
                self.places[near] = servers.start_direct(self.work, self.name, self.server, near)
            place = self.places[near]
            cases = [case for case in self.wanted.case if (self.name, near, case) not in LACKS]
            cases = [case for case in cases if (client, near, case) not in self.direct and is_known(client, near, case)]
            for name, run in self.ask(client, near, place.origins[near], place, cases).items():
                self.direct[client, near, name] = run
        return self.direct[client, near, case]

    def ask(self, client, edge, origin, place, cases):
        """Runs these cases; of each what was seen, as a Run, or why nothing was."""
        place.new_records()
        command = [str(word) for word in [*CLIENTS[client][0], edge, origin, ",".join(cases)]]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=300)
            seen = json.loads(process.stdout)
        except (subprocess.TimeoutExpired, ValueError) as error:
            said = process.stderr[-2000:] if isinstance(error, ValueError) else error
            return {case: f"the client failed: {said}" for case in cases}
        records = self.records(seen, place)
        runs = {}
        for case, told in seen.items():
            if "steps" not in told:
                runs[case] = told["error"]
                continue
            run = Run(client, self.name, edge, case, origin, told["steps"], records[case])
            check_streaming(run)
            runs[case] = run
        return runs

    def records(self, seen, place):
        """What the app wrote down of each case. It does so behind its answer, and of a browser's own requests too."""
        records = collections.defaultdict(list)
        expected = {(case, step["step"]) for case, told in seen.items() for step in told.get("steps", [])}
        deadline, quiet = time.monotonic() + 5, time.monotonic() + 0.1
        while time.monotonic() < (deadline if expected else quiet):
            for record in place.new_records():
                records[record["case"]].append(record)
                expected.discard((record["case"], record["step"]))
                quiet = time.monotonic() + 0.1
            time.sleep(0.01)
        return records

    def compare(self, case, direct, proxied):
        """What is not documented."""
        if isinstance(direct, str) or isinstance(proxied, str):
            sides = {"direct": direct, "behind antifreeze": proxied}
            return [f"{side}: {run}" for side, run in sides.items() if isinstance(run, str)]
        complaints = [f"direct: {wrong}" for wrong in wrongs(case, direct)]
        complaints += [f"behind antifreeze: {wrong}" for wrong in wrongs(case, proxied)]
        for difference in differences(direct, proxied):
            reason = reason_for(difference, direct, proxied)
            if reason is None:
                complaints.append(f"{difference} (direct by {direct.edge})")
            else:
                self.documented[reason] += 1
        return complaints


def is_known(client, edge, case):
    # Where Chromium cannot stream an upload, it sends the same bytes as a blob, to compare with.
    return (client, edge, case) not in NONE or case == "chunked-upload"


def check_streaming(run):
    """An event must arrive before the last one was sent."""
    sent = next((record["last_sent"] for record in run.app if "last_sent" in record), None)
    for step in run.client:
        if run.case == "sse" and step.get("first"):
            step["streamed"] = sent is not None and step["first"] < sent


def wrongs(case, run):
    """What is wrong by itself: bodies that did not arrive as they were sent."""
    bodies = {"file": SENT["file"], "pieces": SENT["pieces"]}
    for number, step in enumerate(CASES[case], 1):
        want = bodies.get(step.get("body"))
        got = [record.get("sha256") for record in run.app if record["step"] == str(number)]
        if want and got != [want]:
            yield f"the app read {got} instead of {want}"
    for step in run.client:
        if step.get("streamed") is False:
            yield "the events came all at once"


SENT = {}


def make_upload(path):
    """100 MB: numbered blocks of numbers that repeat in none; page.mjs makes the same."""
    number, block = 1, bytearray()
    for _ in range(1_000_000):
        number = (number * 1664525 + 1013904223) & 0xFFFFFFFF
        block.append(number >> 24)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for count in range(100):
            block[0] = count
            file.write(block)
            digest.update(block)
    SENT["file"] = digest.hexdigest()
    pieces = b"".join(bytes([number]) * size for number, size in enumerate(KNOWN["pieces"]))
    SENT["pieces"] = hashlib.sha256(pieces).hexdigest()


def report(columns, wanted):
    """The table and the lists; the exit code."""
    names = [column.name for column in columns]
    print(f"| cases passed of those possible | {' | '.join(names)} |")
    print("| --- |" + " --- |" * len(names))
    for client in wanted.client:
        for edge in wanted.edge:
            if edge in CLIENTS[client][1]:
                cells = [column.cells.get((client, edge), "") for column in columns]
                print(f"| {client}, {edge} | {' | '.join(cells)} |")
            else:
                print(f"| {client}, {edge} |" + " client has none |" * len(names))
    for (client, case, why), edges in none(wanted).items():
        print(f"{client}, {case} ({', '.join(edges)}): client has none: it {why}")
    documented = sum((column.documented for column in columns), collections.Counter())
    print(f"\ndocumented differences: {documented.total()}")
    for known in dict.fromkeys(known.reason for known in DOCUMENTED):
        if documented[known]:
            print(f"  {documented[known]:5} {known}")
    undocumented = collections.defaultdict(list)
    for column in columns:
        for client, edge, server, case, complaint in column.undocumented:
            undocumented[complaint].append(f"{client} {edge} {server} {case}")
    print(f"\ndifferences that are not documented: {sum(map(len, undocumented.values()))}")
    for complaint, places in undocumented.items():
        print(f"  {complaint}\n      {len(places)} times: {', '.join(places[:8])}{' ...' if len(places) > 8 else ''}")
    return bool(undocumented)


def none(wanted):
    found = collections.defaultdict(list)
    for (client, edge, case), why in NONE.items():
        if client in wanted.client and edge in wanted.edge and case in wanted.case:
            found[client, case, why].append(edge)
    return found


def arguments():
    parser = argparse.ArgumentParser(add_help=False)
    for name in ("work", "binary", "ca", "chain", "key"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="", type=lambda words: words.split(","))
    wanted = parser.parse_args()
    unknown = {word for word in wanted.only if word}
    for kind, names in {"client": CLIENTS, "edge": servers.EDGES, "server": servers.NAMES, "case": CASES}.items():
        setattr(wanted, kind, [name for name in names if name in wanted.only] or list(names))
        unknown -= set(names)
    if unknown:
        parser.exit(64, f"--only knows no {', '.join(sorted(unknown))}\n")
    return wanted, wanted.work


main()
