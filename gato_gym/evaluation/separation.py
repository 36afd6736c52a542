"""How well vectors of several tasks are told apart, by numbers and as a picture of two axes.

t-SNE makes clusters whose sizes and distances mean nothing, so the numbers are taken before it: in
the space of the principal components, where the paper's t-SNE starts (section 5.7).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np

from gato_gym.errors import MissingExtraError

COMPONENTS = 50
"""Of PCA, as in the paper."""
NEIGHBOURS = 5
PERPLEXITY = 30.0
"""Of t-SNE: scikit-learn's default; the paper names none."""


@dataclass(frozen=True)
class Separation:
    """Of N labelled vectors.

    said        (N,) the label that most of each vector's nearest neighbours have
    accuracy    share of vectors whose own label that is
    silhouette  mean silhouette coefficient, in [-1, 1]: 1 where labels are compact and far apart, 0
                where they overlap
    """

    said: np.ndarray
    accuracy: float
    silhouette: float


def check_packages() -> None:
    """Raise MissingExtraError unless scikit-learn is installed; does not import it."""
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError(
            'embeddings need scikit-learn, which is not installed: pip install "gato-gym[probing]"'
        )


def principal_components(vectors: np.ndarray, components: int = COMPONENTS) -> np.ndarray:
    """(N, D) -> (N, K) on their first principal axes; K is at most N - 1, D and `components`."""
    from sklearn.decomposition import PCA

    count = min(components, len(vectors) - 1, vectors.shape[1])
    # In double precision and without chance: the same vectors give the same axes.
    reduced: np.ndarray = PCA(count, svd_solver="full").fit_transform(vectors.astype(np.float64))
    return reduced


def separation(reduced: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS) -> Separation:
    """Nearest neighbours, each vector left out of its own, and silhouettes.

    Args:
        reduced: (N, K), more vectors than neighbours.
        labels: (N,) integers: at least two different ones, and fewer than vectors.
        neighbours: how many vote.
    """
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import KNeighborsClassifier

    voters = KNeighborsClassifier(neighbours).fit(reduced, labels)
    # Without vectors of its own scikit-learn asks for those of the fit, each by the others.
    said: np.ndarray = voters.predict(None)
    return Separation(
        said=said,
        accuracy=float(np.mean(said == labels)),
        silhouette=float(silhouette_score(reduced, labels)),
    )


def chance(labels: np.ndarray) -> float:
    """Accuracy of always naming the most frequent label."""
    return float(np.bincount(labels).max() / len(labels))


def check_perplexity(count: int, perplexity: float) -> None:
    """Raise ValueError unless t-SNE of so many vectors may have this perplexity.

    It compares each vector with 3 x perplexity others.
    """
    if not perplexity >= 1:
        raise ValueError(f"--perplexity must be at least 1, got {perplexity:g}")
    if count <= 3 * perplexity:
        least = int(3 * perplexity) + 1
        hint = f", or pass --perplexity {(count - 1) / 3:.3g} or less" if count > 3 else ""
        raise ValueError(
            f"{count} episodes are too few for a perplexity of {perplexity:g}, which takes at "
            f"least {least}: use more --episodes or tasks{hint}"
        )


def plane(reduced: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """(N, K) -> (N, 2) by t-SNE; the same for the same input.

    Raises:
        ValueError: see `check_perplexity`.
    """
    from sklearn.manifold import TSNE

    check_perplexity(len(reduced), perplexity)
    layout = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    placed: np.ndarray = layout.fit_transform(reduced)
    return placed.astype(np.float64)
