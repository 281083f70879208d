"""Makes a thousand orphans, or as many as its argument says: grandchildren whose parent ends at once, in groups and
sessions of their own."""

import os
import sys
import time

for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
    if os.fork() == 0:
        if os.fork() == 0:
            if number % 2:
                os.setsid()
                time.sleep(0.05)
            os._exit(7)
        os._exit(0)
    os.wait()
