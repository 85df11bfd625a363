"""BYTES elements as text, for models that read text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.protocol.errors import InvalidTensor


def decode_text(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An object array of ``bytes`` as an object array of ``str`` of the same shape.

    Raises:
        InvalidTensor: an element of the input ``name`` is not UTF-8.
    """
    decoded = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.reshape(-1)):
        try:
            decoded[index] = element.decode()
        except UnicodeDecodeError as error:
            raise InvalidTensor(
                name, f"element {index} is not UTF-8 text: {error.reason} at byte {error.start}"
            ) from error
    return decoded.reshape(array.shape)
