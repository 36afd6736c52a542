"""Data sets as others write them with Minari."""

import gc
import json
import shutil
import sys
import types
import warnings
from pathlib import Path

import ale_py
import gymnasium
import minari
import numpy as np
import pytest
import torch
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.data.minari.export import export_minari
from gato_gym.testing import TOY_TASK, ToyExpert, make_toy

gymnasium.register_envs(ale_py)


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Let Minari's own `DataCollector` write a data set of random play; its root is tmp_path."""
    tree = types.ModuleType("jax.tree_util")
    # All that Minari uses of jax, which is not installed here.
    tree.tree_map = torch.utils._pytree.tree_map
    jax = types.ModuleType("jax")
    jax.tree_util = tree

    def call(env, dataset_id, *, seeds=(3, 4), **options):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
        with monkeypatch.context() as patched, warnings.catch_warnings():
            patched.setitem(sys.modules, "jax", jax)
            patched.setitem(sys.modules, "jax.tree_util", tree)
            warnings.simplefilter("ignore")  # what it says about missing authors and folders
            collector = minari.DataCollector(env, **options)
            for seed in seeds:
                collector.reset(seed=seed)
                collector.action_space.seed(seed)
                done = False
                while not done:
                    *_, terminated, truncated, _ = collector.step(collector.action_space.sample())
                    done = terminated or truncated
            collector.create_dataset(dataset_id)
            collector.close()
            del collector
            gc.collect()
        return dataset_id

    return call


@pytest.fixture
def write(tmp_path):
    """Write a data set step by step through Minari's storage; its folder."""

    def call(observation, action, episodes, *, name="others/Made-v0", env_id=None, **metadata):
        folder = tmp_path / name / "data"
        folder.parent.mkdir(parents=True)
        storage = MinariStorage.new(folder, observation, action, jpeg_encoding=False)
        for number, parts in enumerate(episodes):
            parts = {"seed": 10 + number} | parts
            steps = len(parts["rewards"])
            end = np.arange(steps) == steps - 1
            parts = {"terminations": end, "truncations": ~end & False, "infos": {}} | parts
            storage.update_episodes([EpisodeBuffer(**parts)])
        known = {"dataset_id": name, "minari_version": minari.__version__}
        storage.update_metadata(known | metadata)
        if env_id is not None:
            path = folder / "metadata.json"
            changed = json.loads(path.read_text()) | {"env_spec": json.dumps({"id": env_id})}
            path.write_text(json.dumps(changed))
        return folder.parent

    return call


def random_columns(space, rows, rng):
    """Random values of a space over time, as Minari stores them."""
    if isinstance(space, spaces.Dict):
        return {name: random_columns(child, rows, rng) for name, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(random_columns(child, rows, rng) for child in space)
    space.seed(int(rng.integers(1000)))
    values = [space.sample() for _ in range(rows)]
    return values if isinstance(space, spaces.Text) else np.array(values)


def build(observation, action, steps, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "observations": random_columns(observation, steps + 1, rng),
        "actions": random_columns(action, steps, rng),
        "rewards": rng.normal(size=steps),
    }


@pytest.fixture(scope="session")
def random_episode():
    """Build (observation space, action space, steps, seed) -> columns as Minari stores them."""
    return build


@pytest.fixture(scope="session")
def ours(tmp_path_factory):
    """What we exported."""
    root = tmp_path_factory.mktemp("ours")
    collect(
        *(TOY_TASK,),
        **{"out": root / "c", "episodes": 2, "seed": 0, "noise": 0.3, "make_env": make_toy},
        expert=ToyExpert(),
    )
    (dataset,) = export_minari(Corpus.open(root / "c"), root=root / "m")
    return Path(dataset.path)


@pytest.fixture
def copy(tmp_path):
    """A copy of a data set to damage."""

    def call(folder):
        shutil.copytree(folder, tmp_path / "copy")
        return tmp_path / "copy"

    return call
