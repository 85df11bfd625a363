"""The first thing a user sees: two real models behind one protocol, asked by real clients.

Trains a digits classifier (scikit-learn, seconds), takes Google's Magika (a third-party ONNX model that tells what
kind of file it is given) from the package index, serves both with one `tidegate serve`, and sends real requests:
held-out digits over HTTP as JSON and as binary, and this project's own files over gRPC.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.client import Client, ClientSettings
from tidegate.protocol.errors import TidegateError

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
MODELS = HOME / "models"
MAGIKA = "magika==1.0.3"  # Apache-2.0; only its model and the labels in its configuration are used
MAGIKA_FOLDER = "magika/models/standard_v3_3"


def say(text: str = "") -> None:
    print(text, flush=True)


def train_digits() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Train on a part of scikit-learn's 8x8 digits, save the model, and return the images and labels held out."""
    import joblib
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.3, random_state=0)
    path = MODELS / "digits.joblib"
    if not path.exists():
        say("training a digits classifier with scikit-learn")
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(train_x, train_y)
        joblib.dump(model, path)
    return test_x, test_y


def fetch_magika() -> list[str]:
    """Put Magika's ONNX file beside the digits, and return its labels in the order of its output."""
    config = HOME / "magika.json"
    if not config.exists():
        say("fetching Magika, an ONNX model, from the package index")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if subprocess.run([*pip, "--dest", str(HOME), MAGIKA], check=False).returncode != 0:
            raise SystemExit(f"{MAGIKA} cannot be fetched; pip's reason stands above")
        with zipfile.ZipFile(next(HOME.glob("magika-*.whl"))) as wheel:
            (MODELS / "magika.onnx").write_bytes(wheel.read(f"{MAGIKA_FOLDER}/model.onnx"))
            config.write_bytes(wheel.read(f"{MAGIKA_FOLDER}/config.min.json"))
    labels: list[str] = json.loads(config.read_text())["target_labels_space"]
    return labels


def magika_features(content: bytes) -> npt.NDArray[np.int32]:
    """The first and the last 1024 bytes of a file, stripped, padded with 256: what the model was trained on."""
    first = content[:4096].lstrip()[:1024]
    last = content[-4096:].rstrip()[-1024:]
    features = np.full(2048, 256, dtype=np.int32)
    features[: len(first)] = list(first)
    if last:
        features[-len(last) :] = list(last)
    return features


def picture(image: npt.NDArray[Any]) -> Iterator[str]:
    """An 8x8 image of 0..16 as eight lines of text."""
    for row in image.reshape(8, 8):
        yield "".join(" ░▒▓█"[min(int(value) // 4, 4)] * 2 for value in row)


@contextmanager
def serving(directory: Path) -> Iterator[dict[str, Any]]:
    """`tidegate serve` on free ports of the loopback interface; yields its addresses once every model answers.

    It has a session of its own, so that a Ctrl-C is for the demo alone, and the server is told to end once.
    """
    command = [sys.executable, "-P", "-m", "tidegate", "serve", str(directory), "--output", "json"]
    command += ["--http-port", "0", "--grpc-port", "0", "--admin-port", "0", "--status-port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert server.stdout is not None
        events = {event["event"]: event for event in until_ready(server.stdout)}
        if events.get("ready", {"failed": 1})["failed"]:
            raise SystemExit("the demo's models do not load; the reasons stand above")
        yield events["listening"]
    finally:
        server.terminate()
        try:
            server.wait(60)
        finally:
            server.kill()


def until_ready(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The server's announcements up to the one that says it is ready."""
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        yield event
        if event["event"] == "ready":
            return


def ask_digits(url: str, images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
    """One held-out digit as JSON, then all of them as one binary request."""
    say("\n1. HTTP, JSON: one handwritten digit that the model has never seen")
    for line in picture(images[0]):
        say(f"     {line}")
    with Client(url, ClientSettings(binary=False)) as client:
        outputs = client.infer("digits", {"X": images[:1]}).outputs
    digit = int(outputs["predict"][0])
    say(f"   -> {digit}, with probability {outputs['predict_proba'][0, digit]:.3f} (it is a {labels[0]})")

    say(f"\n2. HTTP, binary: all {len(images)} held-out digits in one request")
    with Client(url) as client:
        predicted = client.infer("digits", {"X": images}, outputs=["predict"]).outputs["predict"]
    say(f"   -> {np.mean(predicted == labels):.1%} right")


def ask_magika(address: str, kinds: list[str]) -> None:
    """What kind of file this project's own files are, by their content alone."""
    files = [ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "scripts" / "demo", ROOT / "scripts" / "demo.py"]
    batch = np.stack([magika_features(file.read_bytes()) for file in files])
    say(f"\n3. gRPC: what kind of file are these {len(files)}? (Magika, a third-party ONNX model)")
    with Client(f"grpc://{address}") as client:
        [scores] = client.infer("magika", {"bytes": batch}).outputs.values()
    for file, row in zip(files, scores, strict=True):
        say(f"   {file.relative_to(ROOT)!s:16} -> {kinds[int(row.argmax())]} ({row.max():.3f})")


def next_things(addresses: dict[str, Any], image: npt.NDArray[Any]) -> None:
    digit = ",".join(str(int(value)) for value in image)
    tidegate = os.path.relpath(Path(sys.executable).parent / "tidegate")
    say("\nTry next:")
    say(f"   curl http://{addresses['http']}/v2/models/digits")
    say(f"   curl http://{addresses['status']}/metrics")
    say(f"   {tidegate} infer digits --url http://{addresses['http']} --input X={digit}")


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the answers")
    once = parser.parse_args().once

    MODELS.mkdir(parents=True, exist_ok=True)
    images, labels = train_digits()
    kinds = fetch_magika()
    say("serving both with: tidegate serve .demo/models")
    with serving(MODELS) as addresses:
        ask_digits(f"http://{addresses['http']}", images, labels)
        ask_magika(addresses["grpc"], kinds)
        if not once:
            next_things(addresses, images[1])
            say("\nserving until Ctrl-C")
            with suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except TidegateError as error:
        sys.exit(f"error: {error.message}")
