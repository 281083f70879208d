"""Sends variants of requests with two framings to each NAME:PORT, and reads from LEDGER which hidden ones were executed unseen.

The variants are those of the public scanners: ways to write Transfer-Encoding that one server knows and another does not,
each as TE.CL (chunks that end before the length does) and CL.TE (a length that ends before the chunks do), and chunk lines
and lengths that are read in several ways.
"""

import socket
import sys
import time

CRLF = b"\r\n"


def codings():
    """Lines that may or may not mean Transfer-Encoding: chunked."""
    yield b"Transfer-Encoding: chunked"
    for byte in [*range(0x01, 0x20), 0x20, 0x7F, 0x80, 0xA0, 0xFF]:
        if byte == 0x0A:
            continue
        odd = bytes([byte])
        yield b"Transfer-Encoding:" + odd + b"chunked"
        yield b"Transfer-Encoding: chunked" + odd
        yield b"Transfer-Encoding" + odd + b": chunked"
    for value in [
        b"CHUNKED", b"chunKed", b"xchunked", b"chunkedx", b"chunked;a=b", b"chunked, chunked", b"chunked,", b",chunked",
        b"identity", b"identity, chunked", b"chunked, identity", b"gzip, chunked", b"chunked, gzip", b"cow, chunked",
        b"chunked, cow", b'"chunked"', b"'chunked'", b"chunked chunked", b"chunk", b"\xc5\xbfchunked", b"",
        b"chunked\r\n identity", b"\r\n chunked", b"\r\n\tchunked", b"\nchunked", b"\n chunked",
    ]:
        yield b"Transfer-Encoding: " + value
    for name in [
        b"TRANSFER-ENCODING", b"Transfer_Encoding", b"Transfer.Encoding", b"Transfer-Encoding\r\n", b" Transfer-Encoding",
        b"\tTransfer-Encoding", b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding", b"X:\r\nTransfer-Encoding",
        b"Transfer-\r\n Encoding", b"Transfer-Encoding\n", b"Content-Encoding", b"TE",
    ]:
        yield name + b": chunked"
    for pair in [(b"chunked", b"identity"), (b"identity", b"chunked"), (b"chunked", b"chunked"), (b"cow", b"chunked"), (b"chunked", b"cow")]:
        yield b"Transfer-Encoding: " + pair[0] + CRLF + b"Transfer-Encoding: " + pair[1]


def variants(name):
    """Requests that hide one for /hidden/NAME/N."""
    number = 0

    def hidden():
        return b"GET /hidden/%s/%d HTTP/1.1\r\nHost: test\r\n\r\n" % (name, number)

    def post(fields, body, version=b"1.1"):
        return b"POST /outer HTTP/%s\r\nHost: test\r\n%s\r\n\r\n%s" % (version, fields, body)

    for coding in codings():
        for version in (b"1.1", b"1.0"):
            # The length covers the hidden request, the chunks end before it.
            body = b"0\r\n\r\n" + hidden()
            yield post(b"Content-Length: %d\r\n%s" % (len(body), coding), body, version)
            number += 1
        # The length ends before the hidden request, which is a chunk.
        chunk = hidden()
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(chunk), chunk)
        yield post(b"%s\r\nContent-Length: %d" % (coding, body.index(CRLF) + 2), body)
        number += 1
    for line in [b"0;\n", b"0\n", b"00\x20", b"0x0", b"0\r", b"-0", b"+0", b"0_0", b"0 ;a", b"0;a=\"\r\n\"", b"\t0", b"1" + b"0" * 16]:
        yield post(b"Transfer-Encoding: chunked", b"%s\r\n\r\n%s" % (line, hidden()))
        number += 1
        inner = hidden()
        yield post(b"Transfer-Encoding: chunked", b"5;%s\r\nhello\r\n%x\r\n%s\r\n0\r\n\r\n" % (line, len(inner), inner))
        number += 1
    for length in [b"0", b"+%d", b"-0", b"0x%x", b"%d ", b"%d, 0", b"0, %d", b"%d\r\nContent-Length: 0", b"0\r\nContent-Length: %d", b"0%d", b"%d_0", b"\x0b%d", b"%d;", b"\r\n %d"]:
        inner = hidden()
        yield post(b"Content-Length: " + (length % len(inner) if b"%" in length else length), inner)
        number += 1


def send(port, request):
    """What came back, until the end or until nothing comes for a moment."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=0.15) as connection:
        try:
            connection.sendall(request)
            while piece := connection.recv(65536):
                answer += piece
        except OSError:
            pass
    return answer


def main(ledger, targets):
    failed = False
    for target in targets:
        name, port = target.split(":")
        before = len(open(ledger).read())
        sent, answered = 0, 0
        for request in variants(name.encode()):
            sent += 1
            answered += send(int(port), request).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)
        lines = open(ledger).read()[before:].splitlines()
        # One that the proxy read itself, behind the first, bears its request id.
        unseen = [line.split(" ")[0] for line in lines if line.startswith("/hidden/") and line.endswith(" -")]
        print(f"{name:11} {sent} requests, {answered} answered 200, {len(unseen)} more executed that it did not see")
        if name == "antifreeze":
            failed = bool(unseen)
            for path in unseen:
                print("  ", list(variants(name.encode()))[int(path.rsplit("/", 1)[1])])
    return failed


sys.exit(main(sys.argv[1], sys.argv[2:]))
