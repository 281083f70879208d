"""A WSGI app: `/block?ms=N` and `/sleep?ms=N` hold the worker, as every call of a synchronous worker does."""

import os
import time
from urllib.parse import parse_qs

import presence

presence.announce()


def app(environ, start_response):
    if environ["PATH_INFO"] in ("/block", "/sleep"):
        milliseconds = parse_qs(environ["QUERY_STRING"]).get("ms", ["1000"])[0]
        time.sleep(int(milliseconds) / 1000)
    body = b'{"pid":%d}' % os.getpid()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
