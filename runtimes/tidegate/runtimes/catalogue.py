"""Which runtimes are installed, and which of them reads a file.

A runtime is an entry point in the group ``tidegate.runtimes``: its name is how people call it, its object fits the
Runtime port. Any installed distribution may declare one. One that cannot be imported takes nothing from the others:
its fault is kept, and told to whoever asks for it by name or for a file that nobody else reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType

import msgspec

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.runtime import Format, Runtime

GROUP = "tidegate.runtimes"

_CHOOSE = "; name one as 'runtime:' in the model's model.yaml"


class Catalogue(msgspec.Struct, frozen=True):
    """Runtimes by name, and for those that could not be had, why."""

    runtimes: Mapping[str, Runtime]
    faults: Mapping[str, str] = {}

    def find(self, name: str) -> Runtime:
        """The runtime of this name.

        Raises:
            ModelLoadFailed: there is none, or its module cannot be imported.
        """
        runtime = self.runtimes.get(name)
        if runtime is not None:
            return runtime
        if name in self.faults:
            raise ModelLoadFailed(f"runtime '{shown(name)}' cannot be used: {self.faults[name]}")
        raise ModelLoadFailed(
            f"there is no runtime '{shown(name)}'; installed are {', '.join(sorted(self.runtimes)) or 'none'}"
        )

    def detect(self, path: Path, runtime: str = "") -> tuple[Runtime, Format]:
        """The runtime and the format that the file's name tells; of several suffixes that fit, the longest.

        ``runtime`` is the only one that is asked, where its owner has named one.

        Raises:
            ModelLoadFailed: no runtime knows the suffix, or several claim it.
        """
        name = path.name.lower()
        asked = {runtime: self.find(runtime)} if runtime else self.runtimes
        fits = [
            (len(suffix), key, form)
            for key, reader in asked.items()
            for form in reader.formats
            for suffix in form.suffixes
            if name.endswith(suffix)
        ]
        if not fits:
            raise ModelLoadFailed(self._unknown(path, asked))
        longest = max(length for length, _, _ in fits)
        best = sorted((key, form.name) for length, key, form in fits if length == longest)
        if len(best) > 1:
            claims = ", ".join(f"{key} ({form})" for key, form in best)
            raise ModelLoadFailed(f"'{shown(path.name)}' is claimed by more than one runtime: {claims}{_CHOOSE}")
        _, key, form = next(fit for fit in fits if fit[0] == longest)
        return self.runtimes[key], form

    def marked(self, names: Collection[str], runtime: str = "") -> tuple[Runtime, Format] | None:
        """The runtime and the format of a directory that holds files of these names; None if none of them marks one.

        ``runtime`` is the only one that is asked, where its owner has named one.

        Raises:
            ModelLoadFailed: it is marked in several ways.
        """
        asked = {runtime: self.find(runtime)} if runtime else self.runtimes
        fits = sorted(
            (key, form.name, form)
            for key, reader in asked.items()
            for form in reader.formats
            if form.marker and form.marker in names
        )
        if not fits:
            return None
        if len(fits) > 1:
            claims = ", ".join(f"{key} ({form.marker})" for key, _, form in fits)
            raise ModelLoadFailed(f"a directory is claimed by more than one runtime: {claims}{_CHOOSE}")
        key, _, form = fits[0]
        return self.runtimes[key], form

    def markers(self) -> frozenset[str]:
        """Every file name that makes a directory one model."""
        return frozenset(form.marker for runtime in self.runtimes.values() for form in runtime.formats if form.marker)

    def recognises(self, path: Path) -> bool:
        """Whether ``detect`` would find a runtime by the file's name, or several."""
        return path.name.lower().endswith(self.suffixes())

    def suffixes(self) -> tuple[str, ...]:
        """Every suffix that an installed runtime reads, sorted."""
        return _suffixes(self.runtimes)

    def _unknown(self, path: Path, asked: Mapping[str, Runtime]) -> str:
        known = ", ".join(_suffixes(asked)) or "none"
        reader = "an installed runtime" if asked is self.runtimes else f"runtime '{next(iter(asked))}'"
        message = f"'{shown(path.name)}' is no model file that {reader} reads; known suffixes are {known}"
        broken = "".join(f"; runtime '{name}' cannot be used: {fault}" for name, fault in sorted(self.faults.items()))
        return message + broken


def _suffixes(runtimes: Mapping[str, Runtime]) -> tuple[str, ...]:
    known = {suffix for runtime in runtimes.values() for form in runtime.formats for suffix in form.suffixes}
    return tuple(sorted(known))


def read_catalogue(entries: Iterable[EntryPoint]) -> Catalogue:
    """Import what the entries name. Importing a runtime does not import its framework, so this is cheap."""
    found: dict[str, Runtime] = {}
    faults: dict[str, str] = {}
    origin: dict[str, str] = {}
    for entry in sorted(set(entries), key=lambda entry: (entry.name, entry.value)):
        if entry.name in origin:
            faults[entry.name] = f"both {origin[entry.name]} and {entry.value} are installed under this name"
            found.pop(entry.name, None)
            continue
        origin[entry.name] = entry.value
        try:
            runtime: Runtime = entry.load()
            called = runtime.name
        except Exception as error:  # a foreign module may fail in any way; the fault is told to who asks for it
            faults[entry.name] = f"{entry.value} does not import: {type(error).__name__}: {shown(error, 200)}"
            continue
        if called == entry.name:
            found[entry.name] = runtime
        else:
            faults[entry.name] = f"{entry.value} calls itself '{shown(called)}'; expected the entry point's own name"
    return Catalogue(MappingProxyType(found), MappingProxyType(faults))


@cache
def installed() -> Catalogue:
    """The catalogue of this process: read on first use, then kept."""
    return read_catalogue(entry_points(group=GROUP))


def runtimes() -> Mapping[str, Runtime]:
    """The usable runtimes by name."""
    return installed().runtimes


def find(name: str) -> Runtime:
    """See ``Catalogue.find``, over what is installed."""
    return installed().find(name)


def detect(path: Path) -> tuple[Runtime, Format]:
    """See ``Catalogue.detect``, over what is installed."""
    return installed().detect(path)
