"""The shortest decimal that reads back as the same float32.

A float32 widened to a double prints with 17 digits (0.1 becomes 0.10000000149011612), which doubles the size of a
JSON response and makes it unreadable. Here each value is replaced by the double next to its shortest decimal, so
that a printer of shortest doubles writes that decimal, of 6 to 9 digits. Casting what was read to float32 gives
back the same bits. Whole numbers stay as they are: 34233512 is not rounded to 34233510, though float32 could not
tell the two apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SMALL = 32
"""Elements up to which a loop over numpy's printer is faster than the array arithmetic below (measured)."""

_EXACT_POWER = 22
"""10^22 is the largest power of ten that a double holds exactly; scaling by more would not be exact."""


def shortest(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Doubles that print as the shortest decimals of ``values``, of the same shape.

    In arrays of more than ``SMALL`` elements, fractions below 1e-13 may print longer; they read back exactly too.
    """
    doubles = values.astype(np.float64)
    if values.size <= SMALL:
        pairs = zip(doubles.reshape(-1).tolist(), values.reshape(-1), strict=True)
        printed = [wide if wide.is_integer() else float(str(value)) for wide, value in pairs]
        return np.array(printed, dtype=np.float64).reshape(values.shape)
    result = doubles.copy()
    # log10 of 0 and of non-finite values: their candidates equal them or are not taken.
    with np.errstate(all="ignore"):
        fraction = np.rint(doubles) != doubles
        exponent = np.floor(np.log10(np.abs(doubles)))
        for digits in (9, 8, 7, 6):  # 9 always suffice; what 6 or fewer suffice for, 6 find
            scale = 10.0 ** np.clip(digits - 1 - exponent, 0, _EXACT_POWER)
            candidate = np.rint(doubles * scale) / scale
            np.copyto(result, candidate, where=fraction & (candidate.astype(np.float32) == values))
    return result
