"""The scripted expert of Gymnasium's toy texts: exact dynamic programming over their rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "planner/toy_text"

STICK, HIT = 0, 1
BLACKJACK = 21
DEALER_STANDS = 17
# An ace is 1, tens and pictures are 10; the deck has no end.
CARDS = (*range(1, 10), *[10] * 4)


class ToyTextPlanner:
    """Plays the best action for the steps that are left.

    Most tasks have a transition table (`env.unwrapped.P`); blackjack's few rules are solved here.
    Of equally good actions it plays the first, so the cliff walker, say, always goes the same way.
    """

    def __init__(self) -> None:
        self._choose: Callable[[Any], int] | None = None

    def reset(self, env: Any) -> None:
        """Solve the task.

        Raises:
            UnknownTaskError: the environment is neither a table with a time limit nor blackjack.
        """
        world = env.unwrapped
        self._step = 0
        # The limit of an outer wrapper is in the spec as well.
        limit = env.spec.max_episode_steps if env.spec else None
        if hasattr(world, "P") and limit:
            self._best = best_actions(_frozen(world.P), limit)
            self._choose = self._look_up
        elif hasattr(world, "sab"):  # it has cards only after its reset
            self._choose = blackjack_action
        else:
            raise unsuitable(EXPERT, "FrozenLake-v1", env)

    def act(self, obs: Any, deterministic: bool = True) -> np.int64:
        """The best action; there is no chance in it."""
        if self._choose is None:
            raise RuntimeError("call reset(env) before act(obs)")
        return np.int64(self._choose(obs))

    def _look_up(self, state: Any) -> int:
        step = min(self._step, len(self._best) - 1)
        action = self._best[step, int(state)]
        self._step += 1
        return int(action)


Table = tuple[tuple[tuple[tuple[float, int, float, bool], ...], ...], ...]


def _frozen(table: Any) -> Table:
    """A transition table as a value that the cache below can compare."""
    return tuple(
        tuple(
            tuple((float(p), int(after), float(r), bool(end)) for p, after, r, end in table[s][a])
            for a in range(len(table[s]))
        )
        for s in range(len(table))
    )


@cache
def best_actions(table: Table, horizon: int) -> np.ndarray:
    """(horizon, states) of the actions with the highest expected return over the steps left.

    Args:
        table: a row per state, in it a row per action, in it each outcome as (probability, next
            state, reward, whether it ends the episode).
        horizon: steps of an episode.
    """
    states, actions = len(table), len(table[0])
    chances = np.zeros((states, actions, states))
    rewards = np.zeros((states, actions))
    for state, row in enumerate(table):
        for action, outcomes in enumerate(row):
            for probability, after, reward, end in outcomes:
                rewards[state, action] += probability * reward
                if not end:
                    chances[state, action, after] += probability
    values = np.zeros(states)
    best = np.zeros((horizon, states), np.int8)
    for step in reversed(range(horizon)):
        returns = rewards + chances @ values
        values = returns.max(axis=1)
        # Rounding must not decide between equally good ones.
        best[step] = (returns > values[:, None] - 1e-9).argmax(axis=1)
    return best


def blackjack_action(obs: Any) -> int:
    """Hit or stick, from what a player sees: own sum, dealer's card, whether an ace counts 11."""
    total, shown, ace = (int(obs[key]) for key in ("0", "1", "2"))
    hit = _value_of_hit(total, bool(ace), shown)
    return HIT if hit > _value_of_stick(total, shown) + 1e-9 else STICK


def _drawn(total: int, ace: bool, card: int) -> tuple[int, bool]:
    """A hand after one more card; `ace` says whether one of its aces counts 11."""
    total += card
    if card == 1 and not ace and total + 10 <= BLACKJACK:
        return total + 10, True
    if ace and total > BLACKJACK:
        return total - 10, False
    return total, ace


@cache
def _value_of_hit(total: int, ace: bool, shown: int) -> float:
    value = 0.0
    for card in CARDS:
        after, soft = _drawn(total, ace, card)
        if after > BLACKJACK:
            value -= 1.0
        else:
            value += max(_value_of_stick(after, shown), _value_of_hit(after, soft, shown))
    return value / len(CARDS)


@cache
def _value_of_stick(total: int, shown: int) -> float:
    first = _drawn(0, False, shown)
    return sum(
        chance * float((dealer > BLACKJACK or total > dealer) - (total < dealer <= BLACKJACK))
        for dealer, chance in _dealer(*first).items()
    )


@cache
def _dealer(total: int, ace: bool) -> dict[int, float]:
    """Where the dealer's hand ends -> with which probability."""
    if total >= DEALER_STANDS:
        return {total: 1.0}
    ends: dict[int, float] = {}
    for card in CARDS:
        for end, chance in _dealer(*_drawn(total, ace, card)).items():
            ends[end] = ends.get(end, 0.0) + chance / len(CARDS)
    return ends
