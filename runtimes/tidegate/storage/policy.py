"""Which of the versions that lie in a model's folder are served."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from msgspec import UNSET

from tidegate.protocol.errors import ModelLoadFailed, shown
from tidegate.storage.config import VersionPolicy


def chosen_versions(folder: Path, versions: Collection[str], policy: VersionPolicy) -> list[str]:
    """The versions to serve, ascending; ``folder`` is for the message.

    The highest numbers count even if their folders are empty: an older model in place of one would be a silent
    surprise.

    Raises:
        ModelLoadFailed: a version that the policy names is not there.
    """
    ascending = sorted(versions, key=int)
    if policy.all:
        return ascending
    if not policy.specific:
        return ascending[-(1 if policy.latest is UNSET else policy.latest) :]
    wanted = [str(number) for number in sorted(set(policy.specific))]
    if missing := [version for version in wanted if version not in versions]:
        raise ModelLoadFailed(
            f"directory '{shown(folder, 300)}' has no version {', '.join(missing)}, which version_policy.specific "
            f"names; it has {', '.join(ascending)}"
        )
    return wanted
