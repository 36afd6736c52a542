"""Count what the dialogues hold, and how far parrots and n-grams get in them.

    python benchmarks/dialogue_data.py
    python benchmarks/dialogue_data.py --json > benchmarks/results/dialogue_data.json

Parrots say what experts most often said: to the same words, or to the same kind of question, which
nobody tells an agent. Training seeds begin at 10000, the test's at 7000.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from gato_gym.envs.language.dialogue import dialogue_turns, is_right
from gato_gym.envs.language.dialogue_grammar import grammar
from gato_gym.envs.language.dialogue_plan import Turn, dialogue
from gato_gym.evaluation.ngram import ngram_baseline
from gato_gym.tokenizers.default_text import default_text


def contents() -> dict[str, int]:
    """How many kinds of questions, facts, phrases and questions there are."""
    kinds = grammar().values()
    return {
        "kinds": len(kinds),
        "facts": sum(len(kind.subjects) for kind in kinds),
        "phrases": sum(len(some) for kind in kinds for some in kind.forms.values()),
        "questions": sum(len(k.subjects) * len(some) for k in kinds for some in k.forms.values()),
    }


def tokens(seeds: Sequence[int]) -> dict[str, list[float]]:
    """[mean, most] of the default text model, without separators and ends."""
    text = default_text()
    counts = np.array(
        [
            (number, len(text.encode(asked)), len(text.encode(reply)))
            for number, turns in enumerate(dialogue_turns(seeds))
            for asked, reply in turns
        ]
    )
    whole = np.bincount(counts[:, 0], counts[:, 1] + counts[:, 2])
    return {
        name: [round(float(some.mean()), 1), int(some.max())]
        for name, some in (("user", counts[:, 1]), ("reply", counts[:, 2]), ("dialogue", whole))
    }


def parrot(train: Sequence[Turn], test: Sequence[Turn], of: Callable[[Turn], Hashable]) -> float:
    """The share of turns in which the most frequent reply to what is alike is right."""
    said: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for turn in train:
        said[of(turn)][turn.reply] += 1
        said[None][turn.reply] += 1
    usual = {key: counts.most_common(1)[0][0] for key, counts in said.items()}
    return float(np.mean([is_right(usual.get(of(turn), usual[None]), turn) for turn in test]))


def known_text(train: Sequence[Turn], test: Sequence[Turn]) -> float:
    """The share of held-out turns whose words training has too, about another subject."""
    known = {turn.text for turn in train}
    return float(np.mean([turn.text in known for turn in test if turn.held_out]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", type=int, default=2000, help="dialogues that are learned from")
    parser.add_argument("--test", type=int, default=200, help="dialogues that are held out")
    parser.add_argument("--orders", type=int, nargs="*", default=[4, 5], help="of the n-grams")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    seeds = range(10_000, 10_000 + options.train), range(7000, 7000 + options.test)
    train, test = ([turn for seed in some for turn in dialogue(seed)] for some in seeds)
    truth = [dialogue(seed) for seed in seeds[1]]
    found: dict[str, object] = {
        **contents(),
        "tokens": tokens(seeds[0]),
        "held_out": float(np.mean([turn.held_out for turn in test])),
        "known_text": known_text(train, test),
        "same_words": parrot(train, test, lambda turn: turn.text),
        "same_kind": parrot(train, test, lambda turn: turn.kind),
    }
    for order in options.orders:
        result = ngram_baseline(*map(dialogue_turns, seeds), default_text(), order)
        right = result.accuracy_of(lambda i, j, reply: is_right(reply, truth[i][j]))
        found[f"ngram_{order}"] = {"perplexity": result.perplexity, "accuracy": right}
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:12} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
