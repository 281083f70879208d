"""Asks http://127.0.0.1:PORT/ 100 times a second for SECONDS, by turns on one kept connection and on new ones.

Prints how many requests it made, how many failed, and the 99th percentile of their latencies in milliseconds, counted
from the moment at which each was due.
"""

import http.client
import sys
import threading
import time

port, seconds = int(sys.argv[1]), int(sys.argv[2])
PAUSE, TIMEOUT, THREADS = 0.01, 5, 8


class Client:
    def __init__(self):
        self.lock = threading.Lock()
        self.next = 0
        self.latencies = []
        self.failed = 0
        self.began = time.monotonic()

    def run(self):
        kept = None
        while True:
            with self.lock:
                number, self.next = self.next, self.next + 1
            due = self.began + number * PAUSE
            if due > self.began + seconds:
                return
            time.sleep(max(0, due - time.monotonic()))
            try:
                if kept is None or number % 2:
                    connection = self.connect()
                else:
                    connection = kept
                connection.request("GET", "/")
                answer = connection.getresponse()
                if answer.read() != b"ok" or answer.status != 200:
                    raise OSError(f"{answer.status}")
                if number % 2:
                    connection.close()
                else:
                    kept = connection
            except (OSError, http.client.HTTPException) as error:
                kept = None
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                with self.lock:
                    self.failed += 1
            with self.lock:
                self.latencies.append(time.monotonic() - due)

    @staticmethod
    def connect():
        return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT, source_address=("127.0.0.2", 0))


client = Client()
threads = [threading.Thread(target=client.run) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
client.latencies.sort()
p99 = client.latencies[int(len(client.latencies) * 0.99)]
print(len(client.latencies), client.failed, f"{p99 * 1000:.1f}")
