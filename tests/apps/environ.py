"""A WSGI app under the server of Python's own library, which makes variables of all fields: it answers with those.

Its argument is the port to listen on."""

import json
import sys
from wsgiref.simple_server import WSGIServer, make_server


class Quiet(WSGIServer):
    # A worker whose name cannot be looked up would wait for the resolver.
    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()


def app(environ, start_response):
    fields = {name: value for name, value in environ.items() if isinstance(value, str)}
    body = json.dumps(fields).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


make_server("127.0.0.1", int(sys.argv[1]), app, Quiet).serve_forever()
