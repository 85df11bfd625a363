"""Reading from a ledger: pages of a list that all show one instant, and what a watcher has missed.

A list begins at the newest version. Its later pages show the same one, though objects have changed since: for those
the log still has what they were. So no transaction stays open between two pages, and a token is a few bytes.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from tidegate.control.store.ledger import Entry, Ledger, labels_in
from tidegate.protocol.errors import InvalidRequest, ResourceExpired, shown
from tidegate.resources.document import Document, GroupKind, from_bytes
from tidegate.resources.store import ChangeType, Page, Query

_deterministic = msgspec.json.Encoder(order="deterministic")


class _Token(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a list goes on. ``query`` is a digest: a token continues the list that it is from, and no other."""

    version: int
    namespace: str
    name: str
    query: str


_tokens = msgspec.json.Decoder(_Token)


def page(ledger: Ledger, kind: GroupKind, query: Query, limit: int | None, more: str | None) -> Page:
    """Raises as ``Store.list``."""
    if limit is not None and limit < 1:
        raise InvalidRequest(f"limit is {limit}, expected a number of resources above 0")
    token = _token(more, kind, query) if more else _Token(ledger.newest(), "", "", _digest(kind, query))
    check_kept(ledger, token.version)
    items: list[Document] = []
    rest = None
    for key, encoded in ledger.scan(kind, query.namespace, (token.namespace, token.name), token.version):
        if not query.selector.selects(key, labels_in(encoded) if query.selector.labels else {}):
            continue
        if len(items) == limit:
            rest = base64.urlsafe_b64encode(_deterministic.encode(token)).decode()
            break
        items.append(from_bytes(encoded))
        token = _Token(token.version, key.namespace, key.name, token.query)
    return Page(items, str(token.version), rest)


def missed(ledger: Ledger, kind: GroupKind, query: Query, after: int, limit: int) -> tuple[list[Entry], int]:
    """The next entries of the log for a watcher, and the version that it has seen with them.

    Raises:
        ResourceExpired: the log does not reach back so far, or not up to there.
    """
    check_kept(ledger, after)
    entries = ledger.entries(kind, query.namespace, after, limit)
    return entries, entries[-1].version if len(entries) == limit else ledger.newest()


def check_kept(ledger: Ledger, version: int) -> None:
    """That every change since a version is in the log.

    Raises:
        ResourceExpired: it is not. Also where the version is above the newest, as after the state was put back to an
            old copy: to list again is what helps there, too.
    """
    if version > (newest := ledger.newest()):
        raise ResourceExpired(f"resourceVersion {version} is above the newest, {newest}: list again")
    if version < (floor := ledger.floor()):
        raise ResourceExpired(f"resourceVersion {version} is too old, changes are kept since {floor}: list again")


def seen(entry: Entry, query: Query) -> ChangeType | None:
    """What an entry is to who watches with a query: what leaves the selection is deleted to him. None: nothing."""
    if query.namespace not in (None, entry.key.namespace):
        return None
    labelled = bool(query.selector.labels)
    was = entry.old is not None and query.selector.selects(entry.key, labels_in(entry.old) if labelled else {})
    stays = entry.type is not ChangeType.DELETED
    now = stays and query.selector.selects(entry.key, labels_in(entry.new) if labelled else {})
    if now:
        return ChangeType.MODIFIED if was else ChangeType.ADDED
    return ChangeType.DELETED if was else None


def parsed_version(text: str) -> int:
    """A resourceVersion that a caller names.

    Raises:
        InvalidRequest: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest(f"resourceVersion is '{shown(text)}', expected the number that a list or a change gave")
    return int(text)


def _token(text: str, kind: GroupKind, query: Query) -> _Token:
    try:
        token = _tokens.decode(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True))
    except ValueError as error:  # msgspec's and binascii's are, too
        raise InvalidRequest(f"continue is '{shown(text)}', expected what the page before gave") from error
    if token.query != _digest(kind, query):
        raise InvalidRequest("continue is from a list of another kind, namespace or selector")
    return token


def _digest(kind: GroupKind, query: Query) -> str:
    return hashlib.blake2b(_deterministic.encode((kind, query)), digest_size=8).hexdigest()
