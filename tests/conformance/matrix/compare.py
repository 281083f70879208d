"""What differs between a case at a server itself and behind antifreeze, and which differences are meant to be. Run as a
command it prints those."""

import collections
import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One case, and what the client and the app saw of it."""

    client_name: str
    server: str
    edge: str
    case: str
    origin: str
    client: list
    app: list


@dataclass(frozen=True)
class Difference:
    side: str
    step: str
    what: str
    direct: object
    proxied: object

    def __str__(self):
        return f"{self.side}: {self.what}: {short(self.direct)} -> {short(self.proxied)}"


def differences(direct, proxied):
    """All of them, of two runs."""
    found = []
    for side in ("client", "app"):
        before, after = (facts(side, run) for run in (direct, proxied))
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                found.append(Difference(side, *key, before.get(key), after.get(key)))
    return found


def facts(side, run):
    """What a side saw, under names: fields by their names in lower case, values of one name in their order."""
    # The two are asked for by different ports.
    authority = run.origin.split("//")[1]
    found, times = {}, collections.Counter()
    for seen in getattr(run, side):
        # Browsers ask more than once in a step.
        times[seen["step"]] += 1
        step = f"{seen['step']}.{times[seen['step']]}"
        for what, value in seen.items():
            if what == "fields":
                for name, text in value:
                    key = (step, f"field {name.lower()}")
                    found[key] = [*found.get(key, []), text.replace(authority, "AUTHORITY")]
            elif what not in ("step", "case", "first", "last_sent"):
                found[(step, what)] = value
    found[("all", "steps")] = len(getattr(run, side))
    return found


def short(value):
    text = "nothing" if value is None else str(value)
    if len(text) < 160:
        return text
    return f"{text[:100]}... ({len(text)} characters, {hashlib.sha256(text.encode()).hexdigest()[:8]})"


@dataclass(frozen=True)
class Documented:
    """A difference that is meant to be: on this side, in what this pattern names, if `holds` of it."""

    side: str
    what: str
    reason: str
    holds: object

    def covers(self, difference, direct, proxied):
        return (
            self.side in (difference.side, "both")
            and re.fullmatch(self.what, difference.what) is not None
            and self.holds(difference, direct, proxied)
        )


def reason_for(difference, direct, proxied):
    return next((known.reason for known in DOCUMENTED if known.covers(difference, direct, proxied)), None)


def of_both_versions(difference, direct, proxied):
    """HTTP/2 on the client's side is compared with HTTP/1.1 at the server itself, which has no HTTP/2."""
    return is_http2(proxied) and not is_http2(direct)


def is_http2(run):
    return run.edge in ("h2", "h2c")


def anything(difference, direct, proxied):
    return True


def is_added(difference, direct, proxied):
    return difference.direct is None and difference.proxied is not None


def is_removed(difference, direct, proxied):
    return difference.direct is not None and difference.proxied is None


def is_our_hop(difference, direct, proxied):
    return difference.proxied == ["2.0 antifreeze" if is_http2(proxied) else "1.1 antifreeze"]


def is_the_client(difference, direct, proxied):
    told = {
        "field x-forwarded-for": ["127.0.0.1"],
        "field x-forwarded-host": ["AUTHORITY"],
        "field x-forwarded-proto": [proxied.origin.split(":")[0]],
    }
    return is_added(difference, direct, proxied) and difference.proxied == told[difference.what]


def is_untold(difference, direct, proxied):
    schemes = (difference.direct, difference.proxied)
    return proxied.server in ("hypercorn", "granian", "node") and schemes in (("https", "http"), ("wss", "ws"))


def is_moment(difference, direct, proxied):
    dates = [*(difference.direct or []), *(difference.proxied or [])]
    return len(dates) == 2 and all(re.fullmatch(r"\w{3}, [\w ]+ [\d:]{8} GMT", date) for date in dates)


def is_unknown_length(difference, direct, proxied):
    codings = {str(difference.direct), str(difference.proxied)}
    return codings == {"None", "['chunked']"} and (is_http2(direct) or is_http2(proxied))


def are_crumbs(difference, direct, proxied):
    return is_http2(direct) and ["; ".join(difference.direct or [])] == difference.proxied


def is_http1_at_workers(difference, direct, proxied):
    return difference.proxied == "1.1" and is_http2(direct)


def is_phrase(difference, direct, proxied):
    return of_both_versions(difference, direct, proxied) and difference.proxied == ""


def is_100(difference, direct, proxied):
    seen = (difference.direct in (["100"], ["100-continue"]), bool(difference.proxied))
    return proxied.client_name == "curl" and is_http2(proxied) and seen == (True, False)


def is_extended_connect(difference, direct, proxied):
    seen = (str(difference.direct).lower(), difference.proxied)
    return of_both_versions(difference, direct, proxied) and seen in (("101", 200), ("['websocket']", None))


def is_upgrade(difference, direct, proxied):
    return is_http2(direct) and (difference.direct, difference.proxied) == (None, ["websocket"])


def is_hypercorn(difference, direct, proxied):
    return is_http2(direct) and (difference.direct, difference.proxied) == (["hypercorn-h2"], ["hypercorn-h11"])


def is_granians_close(difference, direct, proxied):
    return proxied.server == "granian" and difference.step.startswith("2.")


def is_of(*clients, case=None):
    def holds(difference, direct, proxied):
        named = proxied.client_name in clients and case in (None, proxied.case)
        return named and of_both_versions(difference, direct, proxied)

    return holds


HOP = "of one connection (RFC 9110 7.6.1): antifreeze has its own with each side"
CLOSE = "granian awaits no answer to a close of its own: chance makes it a reset, with and without antifreeze"
LATIN = "Node's clients write and read bytes beyond ASCII otherwise by HTTP/2"
STREAMED = "Chromium streams uploads by HTTP/2 alone; by HTTP/1.1 the same bytes are a blob"
ASKS_FOR_100 = "curl asks for a 100 by HTTP/1.1 alone"
DOCUMENTED = [
    Documented("app", "field via", "each hop adds itself (RFC 9110 7.6.3)", is_our_hop),
    Documented("app", "field x-forwarded-(for|proto|host)", "who asks, and how: a worker cannot see it", is_the_client),
    Documented("app", "field x-request-id", "a request has one name in all logs", is_added),
    Documented("app", "peer", "a worker's peer is a unix socket of antifreeze; X-Forwarded-For says who asks", is_removed),
    Documented("app", "scheme", "TLS ends at antifreeze; X-Forwarded-Proto says it, and some leave it to the app", is_untold),
    Documented("client", "field date", "the two runs are not of the same second", is_moment),
    Documented("client", "field date", "every answer has a Date (RFC 9110 6.6.1)", is_added),
    Documented("both", "field (connection|keep-alive)", HOP, anything),
    Documented("both", "field sec-websocket-(key|accept)", "the key is a new one each time, and there is none by HTTP/2", anything),
    Documented("both", "field transfer-encoding", "chunks are of HTTP/1.1 alone", is_unknown_length),
    Documented("app", "field cookie", "crumbs of HTTP/2 are joined for workers (RFC 9113 8.2.3)", are_crumbs),
    Documented("app", "version", "workers are spoken to by HTTP/1.1", is_http1_at_workers),
    Documented("client", "version", "HTTP/2, which the server itself has not", of_both_versions),
    Documented("client", "reason", "HTTP/2 has no reason phrases", is_phrase),
    Documented("app", "field upgrade", "workers are asked for a WebSocket by HTTP/1.1 (RFC 8441 5)", is_upgrade),
    Documented("client", "status|field upgrade", "by HTTP/2 a WebSocket begins with a 200 (RFC 8441)", is_extended_connect),
    Documented("client", "interim", ASKS_FOR_100, is_100),
    Documented("app", "field expect", ASKS_FOR_100, is_100),
    Documented("client", "field server", "hypercorn names the version of HTTP that it was asked by", is_hypercorn),
    Documented("client", "clean", CLOSE, is_granians_close),
    Documented("both", "field x-latin", LATIN, is_of("node-http", "undici", case="fields")),
    Documented("app", "field priority", "Chromium sends it by HTTP/2 alone", is_of("chromium")),
    Documented("app", "field content-length", STREAMED, is_of("chromium", case="chunked-upload")),
]
NOT_COMPARED = """Not compared: the letter case of fields' names (lower case behind antifreeze; they have none, RFC 9110 5.1), the order of
fields of different names (5.3), ports, and how bodies are cut into pieces (but events must arrive before the last is sent)."""


def listing():
    print("\nDifferences that are meant to be:")
    for known in DOCUMENTED:
        print(f"  {known.side:6} {known.what.replace('field ', ''):32} {known.reason}")
    print(NOT_COMPARED)


if __name__ == "__main__":
    listing()
