"""What a person reads while a server starts and stops."""

from __future__ import annotations

import io

from rich.console import Console

from tidegate.app.events import Event, Found, Leaving, Listening, Loaded, LoadFailed, Ready, Stopped
from tidegate.cli.announce import Narrator
from tidegate.protocol.datatypes import Datatype
from tidegate.protocol.messages import ModelMetadata, TensorSpec

LISTENING = Listening("127.0.0.1:8080", "127.0.0.1:8081", "http://127.0.0.1:8082", "127.0.0.1:8083")
FOUND = Found("iris", "3", "/m/[b]iris.joblib", "sklearn", "joblib", "its name ends in .joblib")
X = TensorSpec("x", Datatype.FP64, (-1, 4))
LOADED = Loaded("iris", "3", 1.25, ModelMetadata("iris", "sklearn_joblib", (X,), (X,)))


def narrated(*events: Event, terminal: bool = False) -> str:
    file = io.StringIO()
    narrator = Narrator(Console(file=file, width=60, force_terminal=terminal, color_system=None, no_color=True))
    for event in events:
        narrator(event)
    return file.getvalue()


def test_a_start_is_told_line_by_line() -> None:
    """Lines are never wrapped, so that they can be pasted and searched; brackets in a path are no markup."""
    assert narrated(LISTENING, FOUND, LOADED, Ready(1, 0)).splitlines() == [
        "iris version 3: /m/[b]iris.joblib → runtime sklearn (joblib: its name ends in .joblib)",
        "iris version 3: ready after 1.2 s; x FP64[-1, 4] → x FP64[-1, 4]",
        "serving HTTP on http://127.0.0.1:8080, gRPC on 127.0.0.1:8081, "
        "admin on http://127.0.0.1:8082, status on http://127.0.0.1:8083",
        "try:",
        "  curl http://127.0.0.1:8080/v2/models/iris/infer -d '"
        '{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 4], "data": [0.5, 0.5, 0.5, 0.5]}]}\'',
        "  tidegate infer iris --input x=0.5,0.5,0.5,0.5",
    ]


def test_the_model_to_try_is_one_that_fits_a_line() -> None:
    """Not the first to load, if that takes an image; without any other the file stands for it."""
    image = TensorSpec("image", Datatype.FP32, (-1, 3, 224, 224))
    large = Loaded("resnet", "1", 1.0, ModelMetadata("resnet", "onnx_onnxv1", (image,), (X,)))
    found = (LISTENING, FOUND, Found("resnet", "1", "/m/resnet.onnx", "onnx", "ONNX", "its name ends in .onnx"))
    offered = narrated(*found, large, LOADED, Ready(2, 0)).splitlines()[-2:]
    assert [line.split()[:3] for line in offered] == [
        ["curl", "http://127.0.0.1:8080/v2/models/iris/infer", "-d"],
        ["tidegate", "infer", "iris"],
    ]
    assert narrated(*found, large, Ready(1, 0)).splitlines()[-1] == "  tidegate infer resnet --input image=@FILE.npy"


def test_a_failure_is_told_with_its_reason() -> None:
    """And counted where others are served."""
    lines = narrated(LISTENING, FOUND, LoadFailed("iris", "3", "it is [corrupt]"), Ready(1, 1)).splitlines()
    assert lines[1] == "iris version 3: failed: it is [corrupt]"
    assert lines[-1] == "1 of 2 models failed; they answer 503"


def test_an_end_is_told() -> None:
    """Cleanly or not."""
    leaving = Leaving("SIGTERM", 30.0)
    first = "SIGTERM: requests in flight have 30 s to end; once more ends at once"
    assert narrated(leaving, Stopped(True)).splitlines() == [first, "stopped"]
    assert narrated(leaving, Stopped(False)).splitlines() == [first, "stopped with requests unfinished"]


def test_a_terminal_shows_what_is_loading() -> None:
    """With a spinner that is gone once it is ready."""
    screen = narrated(LISTENING, FOUND, LOADED, Ready(1, 0), terminal=True)
    assert "loading iris" in screen
    assert "\x1b[?25h" in screen.rpartition("loading iris")[2]  # the cursor is back
