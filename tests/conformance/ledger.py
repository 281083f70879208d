"""A WSGI app that writes down which paths it was asked for, and by which request id, in the file that SMUGGLING_LEDGER names."""

import os


def app(environ, start_response):
    environ["wsgi.input"].read()
    with open(os.environ["SMUGGLING_LEDGER"], "a") as ledger:
        ledger.write(environ["PATH_INFO"] + " " + environ.get("HTTP_X_REQUEST_ID", "-") + "\n")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
