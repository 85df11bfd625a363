"""What a worker finds in its environment, however it starts."""

from __future__ import annotations

from collections.abc import Mapping

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def worker_environment(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment of a worker: the gateway's own, and what the libraries under the frameworks read at import."""
    caps = dict.fromkeys(_THREAD_VARIABLES, str(threads)) if threads else {}
    return {**environment, **caps}
