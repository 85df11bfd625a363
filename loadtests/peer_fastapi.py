"""The floor: FastAPI and uvicorn that call the iris model and nothing else: ``python peer_fastapi.py FILE PORT``.

Run by compare_small.py in an environment of its own.
"""

import sys
from typing import Any

# No `from __future__ import annotations` here: FastAPI reads the annotations of a nested function as objects.


def main(path: str, port: int) -> None:
    import joblib
    import numpy as np
    import uvicorn
    from fastapi import FastAPI  # type: ignore[import-not-found]
    from pydantic import BaseModel

    estimator = joblib.load(path)
    app = FastAPI()

    class Tensor(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[Any]

    class Request(BaseModel):
        inputs: list[Tensor]

    class Answer(BaseModel):
        model_name: str
        outputs: list[Tensor]

    @app.post("/v2/models/iris/infer")  # type: ignore[untyped-decorator]
    async def infer(request: Request) -> Answer:
        given = request.inputs[0]
        # In the event loop: a hop to a thread costs more than this model.
        classes = estimator.predict(np.array(given.data, np.float64).reshape(given.shape))
        output = Tensor(name="predict", shape=list(classes.shape), datatype="INT64", data=classes.tolist())
        return Answer(model_name="iris", outputs=[output])

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
