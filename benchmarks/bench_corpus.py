"""How fast a training window is read from a corpus, against `np.load` of the same frames.

    python benchmarks/bench_corpus.py

Plays one Boxing episode with random actions, then reads windows of 25 steps at random places, in
turn from the corpus and from an uncompressed .npz of the episode's arrays. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gato_gym import envs
from gato_gym.agents import RandomAgent
from gato_gym.data.corpus import Corpus
from gato_gym.evaluation.observers import EpisodeRecorder
from gato_gym.evaluation.rollout import rollout
from gato_gym.types import Episode

TASK = "ALE/Boxing-v5"


def milliseconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begin)


def measure(folder: Path, steps: int, repeats: int) -> dict[str, object]:
    """Medians over `repeats` alternating reads, and of committing the same episode."""
    episodes: list[Episode] = []
    env, agent = envs.make(TASK), RandomAgent(seed=0)
    rollout(
        env,
        agent,
        episodes=1,
        seed=0,
        observers=[EpisodeRecorder(TASK, agent, "random", episodes.append)],
    )
    env.close()
    (episode,) = episodes
    (images,) = (key for key, values in episode.observations.items() if values.ndim == 4)
    corpus = Corpus.create(folder / "corpus")
    (entry,) = corpus.append_shard(episodes)
    np.savez(folder / "episode.npz", images=episode.observations[images], actions=episode.actions)

    def reference(start: int) -> object:
        with np.load(folder / "episode.npz") as arrays:
            return arrays["images"][start : start + steps], arrays["actions"][start : start + steps]

    cold, warm, loads = [], [], []
    starts = np.random.default_rng(0).integers(0, len(episode) - steps, repeats)
    for start in map(int, starts):
        corpus = Corpus.open(corpus.path)
        cold.append(milliseconds(lambda s=start, c=corpus: c.read_steps(entry, s, s + steps)))
        warm.append(milliseconds(lambda s=start, c=corpus: c.read_steps(entry, s, s + steps)))
        loads.append(milliseconds(lambda s=start: reference(s)))
    commits = [milliseconds(lambda: corpus.append_shard(episodes)) for _ in range(20)]
    tiny = Episode(
        task="tiny",
        observations={"observation": np.zeros((501, 4), np.float32)},
        actions=np.zeros(500, np.int64),
        rewards=np.zeros(500),
        terminated=False,
        seed=0,
        expert="none",
    )
    tiny_commits = [milliseconds(lambda: corpus.append_shard([tiny])) for _ in range(50)]
    value, load = statistics.median(warm), statistics.median(loads)
    return {
        "value": round(value, 4),
        "unit": f"ms per window of {steps} frames {list(episode.observations[images].shape[1:])}",
        "reference": round(load, 4),
        "ratio": round(load / value, 1),
        "p99": round(statistics.quantiles(warm, n=100)[-1], 4),
        "first_read": round(statistics.median(cold), 4),
        "episode_steps": len(episode),
        "bytes_per_frame": round(entry.size / (len(episode) + 1)),
        "encode_and_commit_ms": round(statistics.median(commits), 2),
        "commit_small_episode_ms": round(statistics.median(tiny_commits), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=25, help="frames in a window")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.steps, options.repeats)
    result["machine"] = (
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}"
    )
    result["command"] = shlex.join(["python", *sys.argv])
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
