"""KServe's own Python client against a running server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tidegate.control.api.kubeconfig import Access, kubeconfig
from tidegate.testing.service_server import ServiceServer

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("TIDEGATE_PEERS", ROOT / "build" / "peers")) / "kserve-client" / "bin" / "python"
SESSION = ROOT / "tests" / "peers" / "kserve_session.py"
LONGEST = 300.0
"""Seconds for the session, which waits for its services itself."""


@pytest.mark.e2e
@pytest.mark.framework
def test_kserves_client_does_all_that_its_users_do(tmp_path: Path) -> None:
    """Create, get, list, wait (polling, for a generation, watching), patch, replace, delete; and ask by v1 and v2."""
    if not PYTHON.exists():
        pytest.skip(f"KServe's client is not in {PYTHON.parent}: scripts/peers installs it")
    rows, labels = load_iris(return_X_y=True)
    models = [tmp_path / f"{name}.joblib" for name in ("first", "second")]
    for path, told in zip(models, (labels, 2 - labels), strict=True):
        joblib.dump(LogisticRegression(max_iter=500).fit(rows, told), path)
    config = tmp_path / "kubeconfig"
    with ServiceServer.start(tmp_path / "state", "--trust", tmp_path) as server:
        config.write_text(kubeconfig(Access(name="here", server=server.serving.admin)))
        words = [str(PYTHON), str(SESSION), str(config), *(path.as_uri() for path in models)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
