"""Rules of the whole suite."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("tidegate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidegate")


def pytest_configure() -> None:
    """Ctrl-C ends what the tests start, however the suite itself was started; also in each worker of xdist.

    A shell without job control has what it runs in the background ignore SIGINT (POSIX: Asynchronous Lists), and what
    is ignored stays so in every child. Python then sets no handler of its own, and a command that is to end by SIGINT
    goes on.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache_directory() -> Generator[None, None, None]:
    """Servers of the suite keep their copies of models in a directory of its own, not in the user's."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", directory)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On a laptop a missing peer skips its tests with the reason; in CI, where everything is installed, it fails.

    Where no package index has the peer, recordings of it are tested everywhere, and its own test may skip
    (``recorded``).
    """
    report = yield
    may_skip = hasattr(report, "wasxfail") or item.get_closest_marker("recorded")
    if os.environ.get("CI") and report.skipped and not may_skip:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} would skip, which CI does not allow: {report.longrepr}"
    return report
