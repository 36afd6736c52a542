"""DAgger: a learner plays, and what the expert would have done is the training target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gymnasium

    from gato_gym.agents import Agent


class LedExpert:
    """An expert that watches a learner play, and says at each step what it would do itself.

    A clone of clean episodes sees only where its expert goes. Its own mistakes take it elsewhere,
    and there it has learned nothing. Episodes that it plays itself show those states; the expert's
    actions, `last_expert_action`, are what to do in them (Ross, Gordon and Bagnell, "A Reduction of
    Imitation Learning and Structured Prediction to No-Regret Online Learning", AISTATS 2011; here
    all steps of an episode are the learner's). The paper of Gato does not do this.

    Args:
        expert: of the task. Its own actions are never executed, so its choice must follow from
            what it sees, not from what it meant to do next.
        learner: acts.
    """

    def __init__(self, expert: Agent, learner: Agent) -> None:
        self.expert, self.learner = expert, learner
        self.last_expert_action: Any = None

    def reset(self, env: gymnasium.Env) -> None:
        """Reset both."""
        self.expert.reset(env)
        self.learner.reset(env)
        self.last_expert_action = None

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The learner's action."""
        # The expert first: it may read the environment, which the learner does not change.
        self.last_expert_action = self.expert.act(obs, deterministic=deterministic)
        return self.learner.act(obs, deterministic=deterministic)
