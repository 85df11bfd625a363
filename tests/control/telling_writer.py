"""A process that tells occurrences until it is killed, each with two deliveries, and prints each once it is kept.

Started by the tests of crashes with the state directory and the number to begin with; it never ends by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from tidegate.control.store.sqlite import SqliteStore
from tidegate.resources.store import Delivery
from tidegate.testing.stores import occurrence

CHANNELS = [Delivery({"slack": {"secretRef": name}}) for name in ("one", "two")]


async def main(directory: Path, first: int) -> None:
    store = await SqliteStore.open(directory)
    for number in itertools.count(first):
        await store.tell(occurrence(str(number)), CHANNELS)
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
