"""Weighted shares between tenants, in rows, by start-time fair queueing.

Each tenant has a tag, its own virtual time: it grows by rows / weight as the tenant is served, and the lowest tag goes
next. A tenant that begins to wait starts at the virtual time of the service, so it has neither credit for the time it
was away nor debt for what it used while it was alone. When nobody waits there is nothing to compete for, and all is
forgotten.

Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996; between two tenants that wait all the
time, rows / weight differ by at most the largest service of each.
"""

from __future__ import annotations

from tidegate.batching.item import Caller

_SLACK = 64
"""Tenants that are remembered besides as many as wait, before those without a debt are forgotten."""


class Share:
    """One tenant. ``waiting`` counts its requests in the queue."""

    __slots__ = ("order", "tag", "tenant", "waiting", "weight")

    def __init__(self, tenant: str, tag: float, order: int) -> None:
        self.tenant = tenant
        self.tag = tag
        self.order = order
        self.weight = 1.0
        self.waiting = 0

    def __repr__(self) -> str:
        return f"<Share of {self.tenant!r}: {self.waiting} waiting, tag {self.tag:g}>"


class Fairness:
    """The shares of all tenants that wait, or that have used more than their share."""

    def __init__(self) -> None:
        self._shares: dict[str, Share] = {}
        self._virtual = 0.0
        self.active = 0
        """Tenants that wait."""
        self._orders = 0

    def __len__(self) -> int:
        return len(self._shares)

    def join(self, caller: Caller) -> Share:
        """A request of this tenant begins to wait."""
        share = self._shares.get(caller.tenant)
        if share is None:
            self._orders += 1
            share = self._shares[caller.tenant] = Share(caller.tenant, self._virtual, self._orders)
        share.weight = caller.weight
        if not share.waiting:
            self.active += 1
            if share.tag < self._virtual:
                share.tag = self._virtual
        share.waiting += 1
        return share

    def find(self, caller: Caller) -> Share | None:
        """The share of this tenant, if there is one."""
        return self._shares.get(caller.tenant)

    def leave(self, share: Share) -> None:
        """A request of this tenant waits no more."""
        share.waiting -= 1
        if share.waiting:
            return
        self.active -= 1
        if not self.active:
            self._shares.clear()
            self._virtual = 0.0
        elif len(self._shares) > 2 * self.active + _SLACK:
            self._shares = {t: s for t, s in self._shares.items() if s.waiting or s.tag > self._virtual}

    def serve(self, share: Share) -> None:
        """This tenant's request leads the next batch: virtual time is where its tag is."""
        if share.tag > self._virtual:
            self._virtual = share.tag

    @staticmethod
    def charge(share: Share, rows: int) -> None:
        """This tenant has ``rows`` rows in the next batch."""
        share.tag += rows / share.weight
