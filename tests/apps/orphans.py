"""Makes as many orphans as its argument says: grandchildren whose parent ends at once, in groups and sessions of their own."""

import os
import sys
import time

count = int(sys.argv[1])
for number in range(count):
    if os.fork() == 0:
        if os.fork() == 0:
            if number % 2:
                os.setsid()
                time.sleep(0.05)
            os._exit(7)
        os._exit(0)
# Not one by one: each would have to wait for its turn on a busy machine.
for _ in range(count):
    os.wait()
