"""An agent whose episodes begin with another prompt than its own. No torch here."""

from __future__ import annotations

from typing import Any


class WithPrompt:
    """A Gato agent that starts each episode with a given prompt.

    Args:
        agent: a `GatoAgent`; is reset.
        prompt: as its `reset` takes it.
        told: what the name in reports says of the prompt.
    """

    def __init__(self, agent: Any, prompt: Any, told: str) -> None:
        self.agent = agent
        self.prompt = prompt
        self.specs = agent.specs
        self.checkpoint = f"{agent.checkpoint} ({told})"

    def reset(self, env: Any) -> None:
        """Begin an episode."""
        self.agent.reset(env, prompt=self.prompt)

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The agent's action."""
        return self.agent.act(obs, deterministic=deterministic)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, Any]:
        """The agent's actions in a batch."""
        return self.agent.predict(observation, state, episode_start, deterministic)


class WithoutPrompt(WithPrompt):
    """A Gato agent that starts each episode without a demonstration."""

    def __init__(self, agent: Any) -> None:
        super().__init__(agent, None, "no prompt")
