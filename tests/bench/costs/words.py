"""Words of the command line."""

import argparse
from collections.abc import Callable


def choices(known: list[str]) -> Callable[[str], list[str]]:
    """A list of these words, separated by commas; 'all' for every one."""

    def parse(text: str) -> list[str]:
        if text == "all":
            return known
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; there are {', '.join(known)}")
        return text.split(",")

    return parse
