"""Shared pieces of the corpus tests."""

from collections.abc import Callable

import numpy as np
import pytest

from gato_gym.types import Episode


def build_episode(seed: int = 0, steps: int = 200, task: str = "toy") -> Episode:
    """Every kind of observation; 200 images of 32x48 fill two blocks."""
    random = np.random.default_rng(seed)
    actions = random.integers(0, 3, steps)
    return Episode(
        task=task,
        observations={
            "image": random.integers(0, 256, (steps + 1, 32, 48, 3)).astype(np.uint8),
            "position": random.normal(size=(steps + 1, 2)).astype(np.float32),
            "room": random.integers(0, 5, steps + 1),
            "goal": np.array([f"step {i} \u00e9" for i in range(steps + 1)]),
        },
        actions=actions,
        expert_actions=np.where(random.random(steps) < 0.2, 0, actions),
        rewards=random.normal(size=steps),
        terminated=bool(seed % 2),
        seed=seed,
        expert="scripted/toy",
        success=None if seed % 3 == 0 else bool(seed % 2),
        versions={"gymnasium": "1.4.0"},
    )


def check_equal(a: Episode, b: Episode) -> None:
    """Same values, same dtypes, same bytes."""
    for name in ("task", "terminated", "seed", "expert", "success", "versions"):
        assert getattr(a, name) == getattr(b, name), name
    assert list(a.observations) == list(b.observations)
    arrays = [(a.actions, b.actions), (a.expert_actions, b.expert_actions), (a.rewards, b.rewards)]
    arrays += [(a.observations[key], b.observations[key]) for key in a.observations]
    for x, y in arrays:
        assert x.dtype == y.dtype and x.shape == y.shape
        assert x.tolist() == y.tolist() if x.dtype == object else x.tobytes() == y.tobytes()


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    return build_episode


@pytest.fixture(scope="session")
def assert_equal() -> Callable[[Episode, Episode], None]:
    return check_equal
