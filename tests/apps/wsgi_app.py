"""A WSGI app."""

import os


def app(environ, start_response):
    body = b'{"pid":%d}' % os.getpid()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
