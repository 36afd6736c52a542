"""GatoAgent: the network as something that acts (paper section 2.4).

An action is decoded number by number with a key/value cache; ids outside the action space are
masked out. Beyond the context the oldest whole steps fall out, the prompt's first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin

import gato_gym
from gato_gym.agents.role import Role, find_prompt, find_space, find_spec
from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.bundle import Bundle, find_bundle, save_bundle
from gato_gym.types import Episode, TaskSpec

BUNDLED = Path(gato_gym.__file__).with_name("pretrained")

# Share of the context that a prompt may take; what is left holds the episode's first steps.
PROMPT_SHARE = 0.5


class GatoAgent(
    PyTorchModelHubMixin,
    library_name="gato-gym",
    tags=["gato", "reinforcement-learning", "robotics"],
):
    """One set of weights that acts in any task whose spaces are supported.

    Args:
        model: the network.
        specs: task id -> spec, the tasks it was trained on.
        prompts: task id -> a demonstration by that task's expert.
        text: text model, where observations hold text.
        documents: card and scorecard that travel with it, see `training.bundle`.
        name: shown in reports.
        seed: of sampled actions (deterministic=False).
    """

    def __init__(
        self,
        model: Gato,
        specs: Mapping[str, TaskSpec],
        prompts: Mapping[str, Episode] | None = None,
        text: TextTokenizer | None = None,
        documents: Mapping[str, str] | None = None,
        name: str = "unnamed",
        seed: int = 0,
    ) -> None:
        self.model = model.eval()
        self.config = model.config
        self.vocabulary = Vocabulary(model.config.text_size)
        self.specs, self.prompts, self.text = dict(specs), dict(prompts or {}), text
        self.documents, self.checkpoint = dict(documents or {}), name
        self._random = torch.Generator().manual_seed(seed)
        self._role: Role | None = None
        self._prompt: Episode | None = None
        self._prompt_stream: TokenStreams | None = None
        self._streams: TokenStreams | None = None

    # Loading and saving

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | None = None,
        **hub: Any,
    ) -> GatoAgent:
        """Load an agent.

        Args:
            pretrained_model_name_or_path: a folder, a Hub id, or None for the bundled weights.
            revision: of the Hub repository.
            device: where to run; None = cuda if there is one.
            hub: passed on to `huggingface_hub.snapshot_download`.

        Raises:
            CorruptCheckpointError: the folder is missing, incomplete or changed, or the Hub has no
                such model or cannot be reached.
            ValueError: no such device.
        """
        source = pretrained_model_name_or_path
        where = choose_device(device)
        bundle = find_bundle(BUNDLED if source is None else source, revision, **hub)
        return cls(
            bundle.model.to(where),
            bundle.specs,
            bundle.prompts,
            bundle.text,
            bundle.documents,
            name="bundled" if source is None else str(source),
        )

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, *, push_to_hub: bool = False, **hub: Any
    ) -> str | None:
        """Write the agent's folder (see `training.bundle`); on request upload it too.

        `push_to_hub(repo_id)` uses this.
        """
        repo_id = hub.pop("repo_id", None) or Path(save_directory).name
        hub.pop("config", None), hub.pop("model_card_kwargs", None)
        bundle = Bundle(self.model, self.specs, self.prompts, self.text, self.documents)
        save_bundle(bundle, save_directory)
        return self.push_to_hub(repo_id, **hub) if push_to_hub else None

    # Acting

    def reset(
        self,
        env_or_task: gym.Env | gym.vector.VectorEnv | str,
        prompt: str | Path | Episode | None = "expert",
    ) -> None:
        """Start an episode: learn the task's spec, forget the past, load a demonstration.

        Args:
            env_or_task: an environment made by `gato_gym.make` or `gymnasium.make`, or a task id.
            prompt: "expert" for the checkpoint's own demonstration of the task (none where it has
                none), an `Episode`, the path of a stored one, or None.

        Raises:
            UnknownTaskError: no such task.
            PromptError: the prompt shows another task.
            InvalidObservationError: the environment observes something else than the weights were
                trained on, e.g. another image size.
        """
        # Whatever fails below leaves an agent that asks for a reset, not one that mixes two tasks.
        previous, self._role, self._streams = self._role, None, None
        spec = find_spec(env_or_task, self.specs)
        space = find_space(env_or_task, self.vocabulary)
        chosen = find_prompt(spec, prompt, self.prompts)
        if previous is None or previous.spec != spec:
            self._prompt = self._prompt_stream = None
            role = Role(spec, space, self.vocabulary, self.text, self.config.context)
        else:
            role = previous
            role.space = space
        if chosen is None:
            self._prompt_stream = None
        elif chosen is not self._prompt or self._prompt_stream is None:
            self._prompt_stream = self._prefill(role.tokenizer, chosen)
        self._prompt, self._role = chosen, role

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The next action for one environment, an element of its action space.

        Args:
            obs: raw or tokenised observation of the task that `reset` was given.
            deterministic: the most likely ids; else sampled from the model's distribution.

        Raises:
            InvalidObservationError: a NaN, a wrong shape, a missing key.
        """
        role = self._ready()
        sequence = role.read(obs, self._streams.rows[0].steps if self._streams else 0)
        if self._streams is None:
            self._streams = self._start(1)
        return self._decide(self._streams, [sequence], deterministic)[0]

    def predict(
        self,
        observation: Any,
        state: TokenStreams | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[Any, TokenStreams]:
        """The contract of Stable-Baselines3's policies: batched, with explicit state.

        Args:
            observation: of one environment, or stacked over a vector environment's.
            state: what the last call returned; None starts all episodes.
            episode_start: (B,) bool, which environments have just been reset.
            deterministic: see `act`.

        Returns:
            The action, or stacked actions, and the state (changed in place) for the next call.
        """
        role = self._ready()
        observations, batched = role.split(observation)
        if state is None:
            state = self._start(len(observations))
        elif len(state.rows) != len(observations):
            raise ValueError(
                f"state is of {len(state.rows)} environments, observation of {len(observations)}"
            )
        else:
            starts = np.broadcast_to(
                False if episode_start is None else episode_start, len(observations)
            )
            for row in np.flatnonzero(starts):
                state.restart(int(row), self._prompt_stream)
        sequences = [
            role.read(obs, row.steps) for obs, row in zip(observations, state.rows, strict=True)
        ]
        actions = self._decide(state, sequences, deterministic)
        return (np.stack(actions) if batched else actions[0]), state

    def _decide(
        self, streams: TokenStreams, sequences: list[TokenSequence], deterministic: bool
    ) -> list[Any]:
        """Decode one action per row, number by number (section 2.4)."""
        tokenizer = streams.tokenizer
        logits = streams.observe(sequences)
        ids = np.empty((len(sequences), len(tokenizer.legal_ids)), np.int64)
        for number, (low, high) in enumerate(tokenizer.legal_ids):
            if number:
                logits = streams.flush()
            legal = logits[:, low:high].float().cpu()
            if deterministic:
                chosen = legal.argmax(-1)
            else:
                chosen = torch.multinomial(legal.softmax(-1), 1, generator=self._random)[:, 0]
            ids[:, number] = chosen.numpy() + low
            streams.act(ids[:, number])
        role = self._ready()
        return [role.action(row) for row in ids]

    def _start(self, rows: int) -> TokenStreams:
        streams = TokenStreams(self.model, self._ready().tokenizer, rows)
        if self._prompt_stream is not None:
            for row in range(rows):
                streams.restart(row, self._prompt_stream)
        return streams

    def _prefill(self, tokenizer: StepTokenizer, prompt: Episode) -> TokenStreams:
        """A one-row stream of the prompt's first whole steps (section 2.3), shared by episodes."""
        room = int(self.config.context * PROMPT_SHARE)
        steps = min(len(prompt), max(1, room // tokenizer.tokens_per_step))
        streams = TokenStreams(self.model, tokenizer, 1)
        ids, patches = tokenizer.observation_ids(
            {k: v[:steps] for k, v in prompt.observations.items()}
        )
        actions = tokenizer.action_ids(prompt.actions[:steps])
        for step in range(steps):
            streams.observe([tokenizer.from_ids(ids[step], patches[step])])
            for token in actions[step]:
                streams.act(np.array([token]))
        streams.rows[0].steps = 0
        return streams

    def _ready(self) -> Role:
        if self._role is None:
            raise RuntimeError("call agent.reset(env) before the first action")
        return self._role
