"""What happened: its log, its Event and its place in the outbox, in one transaction; and what becomes of a delivery."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.control.store.events import told
from tidegate.control.store.ledger import Ledger, Waiting
from tidegate.control.store.settings import StoreSettings
from tidegate.protocol.errors import InvalidRequest, InvalidResource, PayloadTooLarge, ResourceExpired, shown
from tidegate.resources.channel import lane_of, words_of
from tidegate.resources.document import Key, check_json
from tidegate.resources.store import Delivery, Event, Occurrence, Outbox, Severity, Telling, Told, Unsent

FAILED = "NotificationFailed"
DELAYED = "NotificationDelayed"
ID_LENGTH = 512
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Occurrence)


class Tellings:
    """The writes of one transaction about occurrences and the outbox. ``newest`` is what it added to the log."""

    def __init__(self, ledger: Ledger, settings: StoreSettings, now: float) -> None:
        self._ledger = ledger
        self._settings = settings
        self._now = now
        self.newest: int | None = None

    def tell(self, occurrence: Occurrence, deliveries: Sequence[Delivery]) -> bool:
        """Raises as ``Store.tell``."""
        if self._ledger.is_told(occurrence.id):
            return False
        encoded = encoded_occurrence(occurrence, self._settings.max_occurrence)
        about, namespace = occurrence.about, occurrence.about.namespace
        self.record(about, occurrence.uid, occurrence.severity, occurrence.reason, occurrence.message)
        self.newest = self._ledger.put_told(occurrence.id, self._now, namespace, encoded)
        for delivery in deliveries:
            check_json(delivery.channel, "channel")
            lane = lane_of(namespace, delivery.channel)
            self._ledger.put_waiting(lane, self._now, encoded, _encoder.encode(delivery.channel))
        self._ledger.trim_told(self._settings.max_occurrences, self._now - self._settings.max_occurrence_age)
        self._trim_outbox()
        return True

    def record(self, about: Key, uid: str, severity: Severity, reason: str, message: str) -> Event:
        """Raises as ``Store.record``."""
        event = told(self._ledger.event(about, uid, severity, reason), about, uid, severity, reason, message, self._now)
        self._ledger.put_event(event)
        self._ledger.trim_events(self._settings.max_events, self._now - self._settings.max_event_age)
        return event

    def delivered(self, number: int) -> None:
        self._ledger.drop(number)

    def postponed(self, number: int, until: float, why: str, warn: bool) -> bool:
        """Raises as ``Store.postponed``."""
        waiting = self._ledger.waiting(number)
        if waiting is None:
            return False
        if until > waiting.at + self._settings.max_delivery_age:
            self._give_up(waiting, f"{why}; tried {waiting.attempts + 1} times within {self._age}")
            return False
        self._ledger.postpone(number, until)
        if warn:
            self._warn(waiting, DELAYED, "cannot be sent yet", why)
        return True

    def failed(self, number: int, why: str) -> None:
        waiting = self._ledger.waiting(number)
        if waiting is not None:
            self._give_up(waiting, why)

    @property
    def _age(self) -> str:
        return f"{self._settings.max_delivery_age:g} s"

    def _trim_outbox(self) -> None:
        oldest = self._now - self._settings.max_delivery_age
        most = self._settings.max_deliveries
        while surplus := self._ledger.surplus(most, oldest):
            for waiting in surplus:
                old = waiting.at < oldest
                self._give_up(waiting, f"it waited for {self._age}" if old else f"more than {most} wait to be sent")

    def _give_up(self, waiting: Waiting, why: str) -> None:
        self._ledger.drop(waiting.number)
        self._warn(waiting, FAILED, "was not sent", why)

    def _warn(self, waiting: Waiting, reason: str, what: str, why: str) -> None:
        occurrence = _decoder.decode(waiting.occurrence)
        channel = words_of(msgspec.json.decode(waiting.channel))
        message = f"{shown(occurrence.type)} {what} to {channel}: {why}"
        self.record(occurrence.about, occurrence.uid, Severity.WARNING, reason, message)


def telling(ledger: Ledger, since: int | None, limit: int, namespace: str | None) -> Telling:
    """Raises as ``Store.occurrences``."""
    if limit < 1:
        raise InvalidRequest(f"limit is {limit}, expected a number of occurrences above 0")
    newest = ledger.newest_told()
    if since is None:
        rows = ledger.last_told(namespace, limit)
        return Telling(_read(rows), newest)
    floor = ledger.told_floor()
    since = since or floor  # with the first that is kept
    if since > newest:
        raise ResourceExpired(f"the position {since} is above the newest, {newest}: begin anew")
    if since < floor:
        raise ResourceExpired(f"the position {since} is too old, occurrences are kept since {floor}: begin anew")
    rows = ledger.told(namespace, since, limit)
    return Telling(_read(rows), rows[-1][0] if len(rows) == limit else newest)


def outbox(ledger: Ledger, now: float, limit: int) -> Outbox:
    """See ``Store.outbox``."""
    due = [
        Unsent(
            number=waiting.number,
            lane=waiting.lane,
            occurrence=_decoder.decode(waiting.occurrence),
            channel=msgspec.json.decode(waiting.channel),
            attempts=waiting.attempts,
        )
        for waiting in ledger.heads_due(now, limit)
    ]
    return Outbox(due, ledger.next_due(now), ledger.newest_told())


def encoded_occurrence(occurrence: Occurrence, most: int) -> bytes:
    """The bytes that are kept of an occurrence.

    Raises:
        InvalidResource: its id or type is none, or its data is no JSON.
        PayloadTooLarge: it is too large.
    """
    for field, value in (("id", occurrence.id), ("type", occurrence.type)):
        if not 0 < len(value) <= ID_LENGTH or not value.isprintable():
            raise InvalidResource(
                field, f"is '{shown(value)}', expected 1 to {ID_LENGTH} characters that can be printed"
            )
    check_json(occurrence.data, "data")
    try:
        encoded = _encoder.encode(occurrence)
    except UnicodeEncodeError:
        raise InvalidResource("the occurrence", "holds text with a lone surrogate, which is no Unicode") from None
    if len(encoded) > most:
        raise PayloadTooLarge(f"the occurrence takes {len(encoded)} bytes, and at most {most} are kept")
    return encoded


def _read(rows: Sequence[tuple[int, bytes]]) -> list[Told]:
    return [Told(number, _decoder.decode(encoded)) for number, encoded in rows]
