"""Floats <-> bins: mu-law companding, then 1024 equal bins on [-1, 1] (section 2.1, appendix B).

Observations are companded; actions never are, since every action space is scaled to [-1, 1]. The
companded scale is finest at zero: a step of one bin is 0.0002 at 0, 0.01 at 0.5 and 0.02 at 1.
"""

from __future__ import annotations

import numpy as np

from gato_gym.tokenizers.vocabulary import BINS

MU = 100.0
M = 256.0
_LOG_RANGE = float(np.log1p(M * MU))
# The largest number to which 1 can be added without rounding up to 2.
_BELOW_ONE = 1.0 - 2.0**-52


def mu_law(values: np.ndarray) -> np.ndarray:
    """sgn(x) log(|x| mu + 1) / log(M mu + 1): maps [-M, M] onto [-1, 1] (appendix B)."""
    x = np.asarray(values, np.float64)
    return np.copysign(np.log1p(np.abs(x) * MU) / _LOG_RANGE, x)


def inverse_mu_law(values: np.ndarray) -> np.ndarray:
    """Inverse of `mu_law` on [-1, 1]."""
    y = np.asarray(values, np.float64)
    return np.sign(y) * np.expm1(np.abs(y) * _LOG_RANGE) / MU


def to_bins(values: np.ndarray) -> np.ndarray:
    """Clip to [-1, 1] and number the 1024 equal bins from 0; +1 falls in the last one. int32."""
    # np.clip is this, with checks that take longer than a short observation does.
    clipped = np.minimum(np.maximum(np.asarray(values, np.float64), -1.0), _BELOW_ONE)
    return ((clipped + 1.0) * (BINS / 2)).astype(np.int32)


def from_bins(bins: np.ndarray) -> np.ndarray:
    """Centre of each bin, float32 in (-1, 1)."""
    return ((2.0 * np.asarray(bins) + 1.0) / BINS - 1.0).astype(np.float32)
