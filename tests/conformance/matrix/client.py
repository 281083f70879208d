"""What the clients in Python share. A client is a command: `client_NAME.py EDGE ORIGIN CASES`, CASES separated by commas.
It runs the cases of cases.json one after the other and prints what it saw, as JSON: of each case {"steps"}, a list, or
{"error"}. CA names the file of the authority to trust, UPLOAD the large body."""

import asyncio
import hashlib
import json
import os
import pathlib
import sys
import time

KNOWN = json.loads(pathlib.Path(__file__).with_name("cases.json").read_text())
MESSAGES = [part * count if kind == "text" else part.encode("latin-1") * count for kind, part, count in KNOWN["messages"]]
TIMEOUT = 30


def main(ask, talk=None):
    """`ask(edge, origin, step)` makes a request, `talk(edge, origin, step)` has a WebSocket; both may be coroutines."""
    edge, origin, chosen = sys.argv[1:]
    seen = asyncio.run(run(ask, talk, edge, origin, chosen.split(",")))
    json.dump(seen, sys.stdout)


async def run(ask, talk, edge, origin, chosen):
    seen = {}
    for case in chosen:
        act = talk if case == "websocket" else ask
        try:
            steps = []
            for number, step in enumerate(KNOWN["cases"][case], 1):
                path = f"{step['path']}{'&' if '?' in step['path'] else '?'}case={case}&step={number}"
                async with asyncio.timeout(TIMEOUT):
                    found = act(edge, origin, step | {"path": path})
                    found = await found if asyncio.iscoroutine(found) else found
                steps.append({"step": str(number)} | found)
            seen[case] = {"steps": steps}
        except Exception as error:
            seen[case] = {"error": f"{type(error).__name__}: {error}"}
    return seen


class Body:
    """Of an answer, piece by piece."""

    def __init__(self):
        self.digest, self.length, self.first, self.text = hashlib.sha256(), 0, None, b""

    def take(self, piece):
        if piece and self.first is None:
            self.first = time.time()
        self.digest.update(piece)
        self.length += len(piece)
        self.text = (self.text + piece)[:40_000]

    def seen(self):
        return {"length": self.length, "sha256": self.digest.hexdigest(), "first": self.first}


def pieces():
    for number, size in enumerate(KNOWN["pieces"]):
        yield bytes([number]) * size


def told(content):
    """A message of a WebSocket, in short."""
    is_text = isinstance(content, str)
    content = content.encode() if is_text else bytes(content)
    return ["text" if is_text else "binary", len(content), hashlib.sha256(content).hexdigest()]


def authority():
    return os.environ["CA"]


def large():
    return os.environ["UPLOAD"]
