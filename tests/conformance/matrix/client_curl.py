"""curl, one process a request."""

import subprocess
import tempfile

import client

VERSIONS = {"h1": "--http1.1", "h1+tls": "--http1.1", "h2": "--http2", "h2c": "--http2-prior-knowledge"}


def ask(edge, origin, step):
    with tempfile.NamedTemporaryFile("r", encoding="latin-1", newline="") as head:
        command = ["curl", "-q", "-sS", "-N", "--path-as-is", "--max-time", str(client.TIMEOUT), VERSIONS[edge]]
        command += ["--cacert", client.authority(), "-D", head.name, "--globoff", f"{origin}{step['path']}"]
        command += ["--head"] if step["method"] == "HEAD" else ["-X", step["method"]]
        for name, value in step["fields"]:
            # An empty one is said so.
            command += ["-H", f"{name}: {value}" if value else f"{name};"]
        body = step.get("body")
        match body:
            case None:
                pass
            case "file":
                command += ["-T", client.large()]
            case "pieces":
                command += ["-T", "-"]
            case text:
                command += ["--data-raw", text]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if body == "pieces":
            for piece in client.pieces():
                process.stdin.write(piece)
        process.stdin.close()
        content = client.Body()
        while piece := process.stdout.read1(65536):
            content.take(piece)
        complaint = process.stderr.read().decode()
        if process.wait() != 0:
            raise RuntimeError(complaint)
        *interim, last = head.read().removesuffix("\r\n\r\n").split("\r\n\r\n")
        start, *lines = last.split("\r\n")
        version, status, reason = (start.split(" ", 2) + [""])[:3]
        if step["method"] == "HEAD":
            # What it prints is the head.
            content = client.Body()
        return {
            "version": version,
            "interim": [block.split(" ")[1] for block in interim],
            "status": int(status),
            "reason": reason,
            "fields": [line.split(": ", 1) if ": " in line else [line.rstrip(":"), ""] for line in lines],
        } | content.seen()


client.main(ask)
