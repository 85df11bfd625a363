"""Rules for channels: what they name can be there; ``rules`` has the table of them."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.resources.channel import SORTS, is_secret_name
from tidegate.resources.faults import Fault, wrong
from tidegate.resources.parts import Part, at, parts


def addresses(document: Part) -> Iterator[Fault]:
    for index, channel in parts(document, "spec", "notify"):
        for sort in SORTS:
            path = ("spec", "notify", index, sort)
            url, secret = at(channel, sort, "url"), at(channel, sort, "secretRef")
            if isinstance(url, str) and not url.startswith(("https://", "http://")):
                yield wrong((*path, "url"), url, "https://HOST/PATH")
            if isinstance(secret, str) and not is_secret_name(secret):
                yield wrong((*path, "secretRef"), secret, "lower case letters, digits, '-' and '.'")
