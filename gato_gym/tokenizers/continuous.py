"""Floats <-> bins: mu-law companding, then 1024 equal bins on [-1, 1] (section 2.1, appendix B).

Observations are companded; actions never are, since every action space is scaled to [-1, 1]. The
companded scale is finest at zero: a step of one bin is 0.0002 at 0, 0.01 at 0.5 and 0.02 at 1.
"""

from __future__ import annotations

import numpy as np

from gato_gym.tokenizers.vocabulary import BINS

MU = 100.0
M = 256.0


def mu_law(values: np.ndarray) -> np.ndarray:
    """sgn(x) log(|x| mu + 1) / log(M mu + 1): maps [-M, M] onto [-1, 1] (appendix B)."""
    x = np.asarray(values, np.float64)
    return np.sign(x) * np.log1p(np.abs(x) * MU) / np.log1p(M * MU)


def inverse_mu_law(values: np.ndarray) -> np.ndarray:
    """Inverse of `mu_law` on [-1, 1]."""
    y = np.asarray(values, np.float64)
    return np.sign(y) * np.expm1(np.abs(y) * np.log1p(M * MU)) / MU


def to_bins(values: np.ndarray) -> np.ndarray:
    """Clip to [-1, 1] and number the 1024 equal bins from 0; +1 falls in the last one. int32."""
    clipped = np.clip(np.asarray(values, np.float64), -1.0, 1.0)
    return np.minimum((clipped + 1.0) * (BINS / 2), BINS - 1).astype(np.int32)


def from_bins(bins: np.ndarray) -> np.ndarray:
    """Centre of each bin, float32 in (-1, 1)."""
    return ((2.0 * np.asarray(bins) + 1.0) / BINS - 1.0).astype(np.float32)
