"""An HTTP server that answers with a name of its own, the target as it came, and how long the body was.

Its arguments are the path of a unix socket to bind, and the name."""

import socket
import sys
import threading

place, name = sys.argv[1:]


def answer(client: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            return client.close()
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    fields = head.decode("latin-1").split("\r\n")
    length = sum(int(field.split(":")[1]) for field in fields if field.lower().startswith("content-length:"))
    while len(body) < length and (piece := client.recv(65536)):
        body += piece
    text = f"{name} {fields[0].split(' ')[1]} {len(body)}".encode("latin-1")
    client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    client.close()


listener = socket.socket(socket.AF_UNIX)
listener.bind(place)
listener.listen(128)
while True:
    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
