"""The replicas of a simulated service: ordered, starting, ready, draining, gone; and what they have cost until now."""

from __future__ import annotations

from math import inf

from tidegate.autoscaler.simulator.conditions import Draws


class Fleet:
    """``seconds`` are paid from the order of a replica until it is gone, draining included."""

    def __init__(self, draws: Draws) -> None:
        self._starts = draws.starts
        self._lives = draws.lives
        self._alive = 0
        self._since = 0.0
        self._number = 0
        self._ends: dict[int, float] = {}
        self._risen: list[float] = []
        self.seconds = 0.0
        self.changes = 0
        self.ready = 0
        self.warming: dict[int, float] = {}
        """When each of those that are not ready was ordered."""

    def __repr__(self) -> str:
        return f"<Fleet of {self.provisioned}, {self.ready} ready>"

    @property
    def provisioned(self) -> int:
        return self.ready + len(self.warming)

    def account(self, now: float) -> None:
        """Pay what was there until now."""
        self.seconds += self._alive * (now - self._since)
        self._since = now

    def found(self, count: int) -> range:
        """These are ready at the beginning."""
        self._number = self._alive = self.ready = count
        for replica in range(count):
            self._ends[replica] = next(self._lives, inf)
        return range(count)

    def order(self, now: float) -> tuple[int, float]:
        """One more: its number, and when it will be ready."""
        self.account(now)
        replica = self._number
        self._number += 1
        self._alive += 1
        self.changes += 1
        self.warming[replica] = now
        return replica, now + next(self._starts)

    def rise(self, replica: int, now: float) -> bool:
        """It is ready; False where it is not wanted any more."""
        ordered = self.warming.pop(replica, None)
        if ordered is None:
            return False
        self.ready += 1
        self._risen.append(now - ordered)
        self._ends[replica] = now + next(self._lives, inf)
        return True

    def cancel(self, now: float) -> None:
        """The youngest of those that start is not wanted any more."""
        self.warming.popitem()
        self.changes += 1
        self.end(now)

    def drain(self, replica: int) -> None:
        """It takes no more."""
        self.ready -= 1
        self.changes += 1
        self._ends.pop(replica, None)

    def end(self, now: float) -> None:
        """One of those that drained, or started, or died, is gone."""
        self.account(now)
        self._alive -= 1

    def dying(self, now: float) -> list[int]:
        """Ready replicas whose time has come. They are gone."""
        found = [replica for replica, end in self._ends.items() if end <= now]
        for replica in found:
            del self._ends[replica]
            self.ready -= 1
            self.end(now)
        return found

    def spare(self) -> None:
        """Nobody dies any more, who becomes ready later neither."""
        self._ends.clear()
        self._lives = iter(())

    def risen(self) -> tuple[float, ...]:
        """Start times, in seconds, of those that became ready since the last call."""
        found, self._risen = tuple(self._risen), []
        return found
