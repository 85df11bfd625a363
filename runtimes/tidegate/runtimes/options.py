"""A runtime's own settings, as text by name; what is not understood is refused, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.runtimes.runtime import Artifact

_SWITCH = {"true": True, "false": False}


def check_options(artifact: Artifact, known: Sequence[str]) -> None:
    """Hold the artifact's options against the names that its runtime knows.

    Raises:
        ModelLoadFailed: one of them is unknown.
    """
    for name in artifact.options:
        if name not in known:
            raise ModelLoadFailed(
                f"model '{artifact.name}': there is no option '{shown(name)}'; known are {', '.join(sorted(known))}"
            )


def read_switch(artifact: Artifact, name: str) -> bool | None:
    """The option as a truth value, None where it is not given.

    Raises:
        ModelLoadFailed: it is neither "true" nor "false".
    """
    value = artifact.options.get(name)
    if value is None:
        return None
    if value not in _SWITCH:
        raise ModelLoadFailed(
            f"model '{artifact.name}': option '{name}' is '{shown(value)}', expected 'true' or 'false'"
        )
    return _SWITCH[value]


def read_count(artifact: Artifact, name: str, default: int) -> int:
    """The option as a whole number, ``default`` where it is not given.

    Raises:
        ModelLoadFailed: it is not written in digits only.
    """
    value = artifact.options.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise ModelLoadFailed(
            f"model '{artifact.name}': option '{name}' is '{shown(value)}', expected a whole number of up to 18 digits"
        )
    return int(value)


def read_choice(artifact: Artifact, name: str, choices: Sequence[str]) -> str:
    """The option as one of ``choices``, the first of them where it is not given.

    Raises:
        ModelLoadFailed: it is none of them.
    """
    value = artifact.options.get(name, choices[0])
    if value not in choices:
        expected = " or ".join(f"'{choice}'" for choice in choices)
        raise ModelLoadFailed(f"model '{artifact.name}': option '{name}' is '{shown(value)}', expected {expected}")
    return value


def read_names(artifact: Artifact, name: str, known: Collection[str]) -> tuple[str, ...]:
    """The option as names separated by commas, () where it is not given.

    Raises:
        ModelLoadFailed: one of them is not known, or stands there twice.
    """
    value = artifact.options.get(name)
    if value is None:
        return ()
    names = tuple(item.strip() for item in value.split(","))
    for item in names:
        if item not in known:
            raise ModelLoadFailed(
                f"model '{artifact.name}': option '{name}' names '{shown(item)}', expected names out of "
                f"{shown(', '.join(known), 300)}"
            )
    if len(set(names)) < len(names):
        raise ModelLoadFailed(f"model '{artifact.name}': option '{name}' names one twice: '{shown(value, 200)}'")
    return names
