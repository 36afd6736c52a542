"""DAgger: a learner plays, and what the expert would have done is the training target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gato_gym.agents.experts.noise import DEFAULT_BURST, Bursts, check_noise

if TYPE_CHECKING:
    import gymnasium

    from gato_gym.agents import Agent

_LED = 2


class LedExpert:
    """An expert that lets a learner play, and says at each step what it would do itself.

    A clone of clean episodes sees only where its expert goes. Its own mistakes take it elsewhere,
    and there it has learned nothing. Episodes that it plays itself show those states; the expert's
    actions, `last_expert_action`, are what to do in them (Ross, Gordon and Bagnell, "A Reduction of
    Imitation Learning and Structured Prediction to No-Regret Online Learning", AISTATS 2011). The
    paper of Gato does not do this.

    Args:
        expert: of the task. What it would do must follow from what it sees, not from what it meant
            to do next.
        learner: acts. Where the expert plays between its bursts, it is told by its
            `follow(obs, action)`, if it has that; else it is asked and not heard.
        rate: the expected fraction of steps that the learner plays, in [0, 1].
        seed: of the bursts.
        burst: smallest and largest number of steps that it plays at a stretch.
    """

    def __init__(
        self,
        expert: Agent,
        learner: Agent,
        rate: float = 1.0,
        seed: int = 0,
        burst: tuple[int, int] = DEFAULT_BURST,
    ) -> None:
        check_noise(rate, burst)
        self.expert, self.learner, self.seed = expert, learner, seed
        self._follow = getattr(learner, "follow", None)
        self._bursts = Bursts(rate, burst)
        self._episode = 0
        self.last_expert_action: Any = None

    def reset(self, env: gymnasium.Env) -> None:
        """Reset both, and start this episode's own stream of bursts."""
        self.expert.reset(env)
        self.learner.reset(env)
        self._random = np.random.default_rng([self.seed, self._episode, _LED])
        self._episode += 1
        self._steps_left = 0
        self.last_expert_action = None

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The learner's action, or between its bursts the expert's."""
        # The expert first: it may read the environment, which the learner does not change.
        clean = self.last_expert_action = self.expert.act(obs, deterministic=deterministic)
        if self._steps_left == 0:
            self._steps_left = self._bursts.begin(self._random)
        if self._steps_left:
            self._steps_left -= 1
            return self.learner.act(obs, deterministic=deterministic)
        if self._follow is None:
            self.learner.act(obs, deterministic=deterministic)
        else:
            self._follow(obs, clean)
        return clean
