"""What lies on disk to be served, and what is to be done where something else is served. Pure values and functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from tidegate.storage.repository import ModelSource
from tidegate.storage.tree import Part


class Offer(msgspec.Struct, frozen=True):
    """A version of a model as it lies on disk. Two that are equal would be served alike."""

    source: ModelSource
    parts: tuple[Part, ...] = ()
    """Its files with size and time, by which a change shows without reading them."""
    root: Path = Path()
    """The path that the user named, under which it was found."""

    @property
    def model(self) -> str:
        return self.source.name

    @property
    def version(self) -> str:
        return self.source.version

    def touches(self, path: Path) -> bool:
        """Whether anything that it was made from is, or lies in, what a path names."""
        own = [self.source.path, *(part.path for part in self.parts)]
        if self.source.config_path is not None:
            own.append(self.source.config_path)
        return any(each.is_relative_to(path) for each in own)


class Survey(msgspec.Struct, frozen=True):
    """All that the user's paths hold."""

    offers: Mapping[str, Mapping[str, Offer]] = {}
    """Model → version → offer. A model with a problem has none."""
    problems: Mapping[str, str] = {}
    """Why a model cannot be told, by its name."""
    unread: Mapping[Path, str] = {}
    """Why a path as a whole cannot be told."""

    def problem(self, model: str, live: Mapping[str, Offer]) -> str | None:
        """Why nothing can be said of a model, None if something can. ``live`` is what is served of it, by version."""
        if model in self.problems:
            return self.problems[model]
        if model in self.offers:
            return None
        return next((self.unread[offer.root] for offer in live.values() if offer.root in self.unread), None)

    @property
    def models(self) -> set[str]:
        return {*self.offers, *self.problems}


def touched(survey: Survey, live: Iterable[Offer], paths: Collection[Path]) -> tuple[str, ...]:
    """The models that a change of paths concerns: as they are now, as they are served, or by the name of a problem."""
    offers = [*(offer for versions in survey.offers.values() for offer in versions.values()), *live]
    found = {offer.model for offer in offers if any(offer.touches(path) for path in paths)}
    names = {name for path in paths for name in (path.name, path.name.partition(".")[0])}
    return tuple(sorted(found | (names & survey.problems.keys())))


class Steps(msgspec.Struct, frozen=True):
    """What leads from what is served of a model to what is offered. Loading comes first, and must succeed."""

    load: tuple[Offer, ...] = ()
    unload: tuple[str, ...] = ()
    """Versions that are not offered any more."""

    def __bool__(self) -> bool:
        return bool(self.load or self.unload)


def steps(offered: Mapping[str, Offer], live: Mapping[str, Offer], broken: Collection[str] = ()) -> Steps:
    """What to do for one model, both by version; ``broken`` are versions to be loaded again as they are.

    An offer that is served already is left alone.
    """
    return Steps(
        tuple(offer for version, offer in offered.items() if version in broken or live.get(version) != offer),
        tuple(version for version in live if version not in offered),
    )
