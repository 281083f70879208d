"""Which worker processes there are, as they announce themselves, and what is done to them. Each is held by a pidfd, so that a
signal never reaches a process that got the number later."""

import asyncio
import os
import pathlib
import random
import select
import signal


class Workers:
    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.handles: dict[int, int] = {}
        self.ended: set[int] = set()
        # Those that the scenario ended, not the target.
        self.sacrificed: set[int] = set()

    def look(self) -> None:
        for entry in self.folder.iterdir():
            pid = int(entry.name)
            if pid not in self.handles:
                try:
                    self.handles[pid] = os.pidfd_open(pid)
                except ProcessLookupError:
                    self.handles[pid] = -1
                    self.ended.add(pid)
        running = [(pid, handle) for pid, handle in self.handles.items() if pid not in self.ended]
        poll = select.poll()
        for _, handle in running:
            poll.register(handle, select.POLLIN)
        readable = {handle for handle, _ in poll.poll(0)}
        self.ended |= {pid for pid, handle in running if handle in readable}

    @property
    def alive(self) -> list[int]:
        return sorted(self.handles.keys() - self.ended)

    def signal(self, pid: int, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self.handles[pid], number)
        except ProcessLookupError:
            self.ended.add(pid)

    async def watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(0.1)

    async def suffer(self, fault: str, scale: float) -> None:
        """Does what the scenario does to the workers, for 20 s."""
        choice = random.Random(1)
        if fault == "stop":
            pid = choice.choice(self.alive)
            self.signal(pid, signal.SIGSTOP)
            await asyncio.sleep(20 * scale)
            self.signal(pid, signal.SIGCONT)
        for _ in range(round(20 * scale) if fault == "kill" else 0):
            self.look()
            if self.alive:
                pid = choice.choice(self.alive)
                self.sacrificed.add(pid)
                self.signal(pid, signal.SIGKILL)
            await asyncio.sleep(1)

    def close(self) -> None:
        """Ends what is left, stopped processes too."""
        self.look()
        for pid in self.alive:
            self.signal(pid, signal.SIGKILL)
        for handle in self.handles.values():
            if handle >= 0:
                os.close(handle)
