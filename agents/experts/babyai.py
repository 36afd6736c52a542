"""BabyAI's own bot behind the expert interface, with our planner where the bot fails.

The bot gives up in every episode of KeyInBox, in many of UnlockToUnlock and in some of the levels
that start with something in the hand. With the planner `gato-gym tasks --domain babyai --measure
expert --episodes 50` has 50 successes in 89 of the 90 levels, and 47 in BabyAI-Unlock. That level
and GoToImpUnlock sometimes lay the only key behind the door that it opens (minigrid 3.2.0 compares
the numbers of two rooms by `is`); such an episode has no solution.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gato_gym.agents.experts.grid.expert import GridPlanner
from gato_gym.agents.experts.grid.scene import (
    DONE,
    DROP,
    FORWARD,
    LEFT,
    PICKUP,
    RIGHT,
    TOGGLE,
)
from gato_gym.agents.experts.unsuitable import unsuitable

EXPERT = "bot/babyai"
PREFIX = "BabyAI-"
MAX_SUBGOALS = 50
"""Of one decision. Where the bot cannot go on it pushes subgoals without end."""


class BotStuckError(Exception):
    """The bot found no action."""


class ScriptedBabyAI:
    """Plays every `BabyAI-*` task as BabyAI's bot does: it knows no more than the agent has seen.

    The bot remembers what was in view, explores, and undoes what it did not propose. Where it gives
    up (it raises, wants more than `MAX_SUBGOALS` subgoals for one decision, thinks that it is done
    when it is not, or has used half of the time), `GridPlanner`, which knows the whole grid, plays
    the episode to its end. All of that depends on the episode alone, not on the clock.
    """

    def __init__(self) -> None:
        self._world: Any = None
        self._planner = GridPlanner()

    def reset(self, env: Any) -> None:
        """Keep the environment; the bot itself is made at the first action.

        Raises:
            UnknownTaskError: the environment is no BabyAI task.
        """
        task = env.spec.id if getattr(env, "spec", None) is not None else ""
        if not task.removeprefix("gato_gym/").startswith(PREFIX):
            raise unsuitable(EXPERT, f"{PREFIX}*", env)
        self._world = env.unwrapped
        self._planner.reset(env)
        self._bot: Any = None
        self.gave_up = False
        self._proposed = -1
        self._before: _Snapshot | None = None

    def act(self, obs: Any, deterministic: bool = True) -> np.int64:
        """The next action; the observation is not looked at."""
        if self._world is None:
            raise RuntimeError("call reset(env) before act(obs)")
        if not self.gave_up:
            try:
                return np.int64(self._ask())
            except Exception:
                # Assertions, missing objects, opened boxes: the bot has many ways to give up.
                self.gave_up = True
        return self._planner.act(obs)

    def _ask(self) -> int:
        if self._bot is None:
            self._bot = _new_bot(self._world)
        if 2 * self._world.step_count > self._world.max_steps:
            raise BotStuckError("no time left")
        now = _Snapshot.of(self._world)
        taken = None if self._before is None else _taken(self._before, now, self._proposed)
        self._bot.stack.pushed = 0
        action = int(self._bot.replan(taken))
        if action == self._proposed == DONE:
            raise BotStuckError("done, but not for the task")
        self._before, self._proposed = now, action
        return action


class _Snapshot(NamedTuple):
    """What an action can change: where the agent is, what it holds, what lies before it."""

    position: tuple[int, int]
    heading: int
    held: Any
    front: Any
    is_open: bool

    @classmethod
    def of(cls, world: Any) -> _Snapshot:
        x, y = world.agent_pos
        front = world.grid.get(*world.front_pos)
        return cls(
            (int(x), int(y)),
            int(world.agent_dir),
            world.carrying,
            front,
            bool(getattr(front, "is_open", False)),
        )


def _taken(before: _Snapshot, now: _Snapshot, proposed: int) -> int:
    """The action that was executed, told from what has changed."""
    if now.heading != before.heading:
        return LEFT if (before.heading - now.heading) % 4 == 1 else RIGHT
    if now.position != before.position:
        return FORWARD
    if now.held is not before.held:
        return PICKUP if before.held is None else DROP
    if now.front is not before.front or now.is_open != before.is_open:
        return TOGGLE
    # Nothing has changed: the agent walked against something or did nothing.
    return proposed if proposed == FORWARD else DONE


class _Stack(list):
    """A list that is not pushed to without end."""

    pushed = 0

    def append(self, subgoal: Any) -> None:
        self.pushed += 1
        if self.pushed > MAX_SUBGOALS:
            raise BotStuckError("too many subgoals")
        super().append(subgoal)


def _new_bot(world: Any) -> Any:
    """The package's bot with a bounded stack, and with what the agent carries from the start."""
    from minigrid.envs.babyai.core.verifier import PutNextInstr
    from minigrid.utils import baby_ai_bot

    bot = baby_ai_bot.BabyAIBot(world)
    wanted = world.instrs
    if isinstance(wanted, PutNextInstr) and any(
        o is world.carrying for o in wanted.desc_move.obj_set
    ):
        # It would look for the thing in its hand.
        bot.stack = [
            baby_ai_bot.DropSubgoal(bot),
            baby_ai_bot.GoNextToSubgoal(bot, wanted.desc_fixed, reason="PutNext"),
        ]
    bot.stack = _Stack(bot.stack)
    return bot
