"""Count pictures of evaluation's games that are training's, bit by bit.

    python benchmarks/seen_pictures.py
    python benchmarks/seen_pictures.py --games pong breakout --train 1000

Without plays of its own, evaluation would go on from training's: "shared plays" counts that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from gato_gym.envs.language.sources.atari import GAMES, Source


def pictures(source: Source, game: str, count: int, salt: int) -> list[bytes]:
    """So many frames of a game."""
    draws = (np.random.default_rng([salt, number]) for number in range(count))
    return [source.frame(game, rng)[0].tobytes() for rng in draws]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--games", nargs="*", choices=GAMES, default=list(GAMES), metavar="GAME")
    parser.add_argument("--train", type=int, default=200, help="pictures of training, each game")
    parser.add_argument("--test", type=int, default=20, help="pictures of evaluation, each game")
    options = parser.parse_args(arguments)

    print(f"{'game':15} own plays  shared plays  of {options.test}")
    for game in options.games:
        counts = []
        training, evaluation = Source(), Source("evaluation")
        known = set(pictures(training, game, options.train, 1))
        for source in (evaluation, training):
            counts.append(sum(p in known for p in pictures(source, game, options.test, 2)))
            source.close()
        print(f"{game:15} {counts[0]:9}  {counts[1]:12}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
