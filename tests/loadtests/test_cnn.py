"""The network of the comparisons computes something, for each row of a batch by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tidegate.loadtests.cnn import images, open_session, save_network


@pytest.mark.framework
@pytest.mark.parametrize("name", ["squeezenet", "resnet50"])
def test_rows_are_independent_and_different(tmp_path: Path, name: str) -> None:
    """A batch gives what its images give one by one, and no two give the same, so that a mix-up shows."""
    path = tmp_path / "network.onnx"
    save_network(name, path)
    session = open_session(path, 1)
    feed = session.get_inputs()[0].name
    pictures = images(3)
    together = session.run(None, {feed: pictures})[0].reshape(3, -1)
    apart = [session.run(None, {feed: pictures[row : row + 1]})[0].reshape(-1) for row in range(3)]
    np.testing.assert_allclose(together, apart, rtol=1e-3, atol=1e-6)
    assert np.isfinite(together).all()
    assert not any(np.allclose(together[0], together[row], rtol=1e-3, atol=1e-6) for row in (1, 2))
