"""A POST on the one way out (``fetch``): what a manifest or a secret names gets a body, and its answer is read whole.

No error tells more of the URL than its origin: for some services the path is the secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
import msgspec

from tidegate.outgoing.fetch import FetchFailed, GuardedTransport
from tidegate.outgoing.settings import OutgoingSettings, origin_of
from tidegate.protocol.errors import shown

_OWN = {"accept-encoding": "identity", "user-agent": "tidegate"}


class Answer(msgspec.Struct, frozen=True):
    """Headers by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def send(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    settings: OutgoingSettings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Answer:
    """The answer to a POST, whatever its status; redirects are not followed. A body that is longer is cut, one
    that does not come is empty.

    Raises:
        DestinationRefused: it may not go there.
        FetchFailed: there is no answer in time.
    """
    try:
        place = shown(origin_of(url), 200)
    except ValueError:
        raise FetchFailed("the address is no URL, expected https://HOST/PATH") from None
    found: Answer | None = None
    try:
        async with (
            asyncio.timeout(settings.timeout),
            httpx.AsyncClient(
                transport=transport or GuardedTransport(settings), trust_env=False, follow_redirects=False, timeout=None
            ) as client,
            client.stream("POST", url, content=body, headers={**_OWN, **headers}) as answer,
        ):
            found = Answer(answer.status_code, dict(answer.headers), b"")
            return msgspec.structs.replace(found, body=await _body(answer, settings.max_bytes))
    except TimeoutError:
        failure = FetchFailed(f"{place} did not answer within {settings.timeout:g} s")
    except (httpx.InvalidURL, UnicodeError):
        failure = FetchFailed(f"the URL at {place} is none that can be asked")
    except httpx.HTTPError as error:
        failure = FetchFailed(f"{place} cannot be asked: {error or type(error).__name__}")
    if found is not None:
        return found  # what was asked is done: a body that breaks off must not have it done again
    raise failure


async def _body(answer: httpx.Response, most: int) -> bytes:
    data = bytearray()
    async for part in answer.aiter_raw():
        data += part
        if len(data) > most:
            break
    return bytes(data[:most])
