"""A process that writes to a store until it is killed, and tells each write once it is acknowledged.

Started by the tests of crashes with the state directory; it never ends by itself.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tidegate.control.store.settings import StoreSettings
from tidegate.control.store.sqlite import SqliteStore
from tidegate.protocol.errors import ResourceExists
from tidegate.testing.stores import key, owned_by, service

CHILDREN = 5


async def main(directory: Path) -> None:
    store = await SqliteStore.open(directory, StoreSettings(max_changes=200))
    number = 0
    while True:
        number += 1
        name = f"s{number % 20}"
        try:
            owner = await store.create(service(name, spec={"n": number}))
        except ResourceExists:  # from before: it goes, with all of its children
            gone = await store.delete(key(name))
            print(f"deleted {name} {gone['metadata']['resourceVersion']}", flush=True)
            continue
        print(f"written {name} {owner['metadata']['resourceVersion']}", flush=True)
        for child in range(CHILDREN):
            document = await store.create(service(f"{name}-{child}", ownerReferences=owned_by(owner)))
            print(f"written {name}-{child} {document['metadata']['resourceVersion']}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
