"""KServe's Python server with the iris model: ``python peer_kserve.py FILE.joblib --http_port N …``.

Run by compare_small.py in an environment of its own; all options are KServe's.
"""

from __future__ import annotations

import sys
from typing import Any

import joblib
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # type: ignore[import-not-found]
from kserve.model_server import parser  # type: ignore[import-not-found]


class Iris(Model):  # type: ignore[misc]
    """At the module's level, where KServe's worker processes find it."""

    def __init__(self, path: str) -> None:
        super().__init__("iris")
        self.estimator = joblib.load(path)
        self.ready = True

    async def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        classes = self.estimator.predict(payload.inputs[0].as_numpy())
        output = InferOutput("predict", list(classes.shape), "INT64")
        output.set_data_from_numpy(classes, binary_data=False)
        return InferResponse(payload.id or "none", self.name, [output])  # it refuses an answer without an id


if __name__ == "__main__":
    options, _ = parser.parse_known_args(sys.argv[2:])
    server = ModelServer(http_port=options.http_port, grpc_port=options.grpc_port, workers=options.workers)
    server.start([Iris(sys.argv[1])])
