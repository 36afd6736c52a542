"""GatoAgent: the network as something that acts (paper section 2.4).

An action is decoded number by number with a key/value cache; ids outside the action space are
masked out. Beyond the context the oldest whole steps fall out, the prompt's first.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin

import gato_gym
from gato_gym import envs
from gato_gym.data.records import decode
from gato_gym.envs.spaces import action_element
from gato_gym.errors import (
    InvalidObservationError,
    PromptError,
    UnknownTaskError,
    UnsupportedSpaceError,
)
from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import StepTokenizer, TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.bundle import Bundle, find_bundle, save_bundle
from gato_gym.types import Episode, TaskSpec, flatten_observation

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
        self._tokenizer: StepTokenizer | None = None
        self._space: gym.Space | None = None
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
        previous, self._tokenizer, self._streams = self._tokenizer, None, None
        spec = self._spec(env_or_task)
        self._space = None
        if not isinstance(env_or_task, str):
            self._space = getattr(env_or_task, "single_action_space", env_or_task.action_space)
            self._check_vocabulary(env_or_task)
        chosen = self._find_prompt(spec, prompt)
        if previous is None or previous.spec != spec:
            self._prompt = self._prompt_stream = None
            previous = StepTokenizer(spec, self.vocabulary, self.text)
            if previous.tokens_per_step > self.config.context:
                raise UnsupportedSpaceError(
                    f"a step of {spec.id} takes {previous.tokens_per_step} tokens, these weights "
                    f"see {self.config.context}: use a checkpoint with a larger context"
                )
        if chosen is None:
            self._prompt_stream = None
        elif chosen is not self._prompt or self._prompt_stream is None:
            self._prompt_stream = self._prefill(previous, chosen)
        self._prompt, self._tokenizer = chosen, previous

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The next action for one environment, an element of its action space.

        Args:
            obs: raw or tokenised observation of the task that `reset` was given.
            deterministic: the most likely ids; else sampled from the model's distribution.

        Raises:
            InvalidObservationError: a NaN, a wrong shape, a missing key.
        """
        tokenizer = self._ready()
        sequence = self._tokens(tokenizer, obs, self._streams.rows[0].steps if self._streams else 0)
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
        tokenizer = self._ready()
        observations, batched = self._split(tokenizer, observation)
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
            self._tokens(tokenizer, obs, row.steps)
            for obs, row in zip(observations, state.rows, strict=True)
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
        return [self._to_space(action) for action in tokenizer.decode_action(ids)]

    def _to_space(self, action: np.ndarray) -> Any:
        """(A,) decoded numbers as an element of the environment's own action space."""
        if self._space is not None:
            # A plain environment may not be scaled to [-1, 1] as those of `gato_gym.make` are.
            return action_element(self._space, action)
        assert self._tokenizer is not None
        is_scalar = self._tokenizer.spec.action.kind == "discrete" and len(action) == 1
        return action[0] if is_scalar else action

    def _start(self, rows: int) -> TokenStreams:
        streams = TokenStreams(self.model, self._ready(), rows)
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

    # Checks

    def _ready(self) -> StepTokenizer:
        if self._tokenizer is None:
            raise RuntimeError("call agent.reset(env) before the first action")
        return self._tokenizer

    def _spec(self, env_or_task: Any) -> TaskSpec:
        if isinstance(env_or_task, str):
            if env_or_task in self.specs:
                return self.specs[env_or_task]
            near = difflib.get_close_matches(env_or_task, self.specs, n=3, cutoff=0.4)
            try:
                return envs.task_spec(env_or_task)
            except UnknownTaskError as error:
                if near:
                    raise UnknownTaskError(f"{error}; this agent was trained on {near}") from error
                raise
        spec = envs.task_spec(env_or_task)
        known = self.specs.get(spec.id)
        if known is None:
            return spec
        if (known.observations, known.action) != (spec.observations, spec.action):
            raise InvalidObservationError(
                f"{spec.id} observes {_describe(spec)}, but these weights were trained on "
                f"{_describe(known)}: make the environment with its default settings"
            )
        return known

    def _check_vocabulary(self, env: Any) -> None:
        worn = _layer_with(env, "tokenizer")
        if worn is not None and worn.tokenizer.vocabulary != self.vocabulary:
            raise InvalidObservationError(
                f"the environment tokenises for {worn.tokenizer.vocabulary}, this agent reads "
                f"{self.vocabulary}: gato_gym.make(id, vocabulary=agent.vocabulary)"
            )

    def _find_prompt(self, spec: TaskSpec, prompt: str | Path | Episode | None) -> Episode | None:
        if prompt is None:
            return None
        if prompt == "expert":
            return self.prompts.get(spec.id)
        if isinstance(prompt, str | Path):
            if not Path(prompt).is_file():
                raise PromptError(
                    f'no prompt at {str(prompt)!r}: give "expert", None, an Episode or its file'
                )
            prompt = decode(Path(prompt).read_bytes(), str(prompt))
        if prompt.task != spec.id:
            raise PromptError(
                f"the prompt shows {prompt.task}, the task is {spec.id}: give an episode of it, "
                'prompt="expert" or None'
            )
        return prompt

    def _tokens(self, tokenizer: StepTokenizer, obs: Any, step: int) -> TokenSequence:
        if not _is_tokenized(tokenizer, obs):
            return tokenizer.observe(obs, step)
        empty = np.zeros((0, 16, 16, 3), np.uint8)
        sequence = tokenizer.from_ids(np.asarray(obs["ids"]), obs.get("patches", empty))
        expected = (tokenizer.observation_slots + 1, tokenizer.patches_per_step)
        if (len(obs["ids"]), len(sequence.patches)) != expected:
            raise InvalidObservationError(
                f"{tokenizer.spec.id}: expected {expected[0]} ids and {expected[1]} patches, got "
                f"{len(obs['ids'])} and {len(sequence.patches)}: reset the agent with this env"
            )
        return sequence

    def _split(self, tokenizer: StepTokenizer, observation: Any) -> tuple[list[Any], bool]:
        """A list of single observations, and whether they came stacked."""
        flat = flatten_observation(observation)
        if _is_tokenized(tokenizer, observation):
            ranks = {"ids": 1}
        else:
            ranks = {item.key: len(item.shape) for item in tokenizer.spec.observations}
        key, rank = next(iter(ranks.items()))
        if key not in flat:
            raise InvalidObservationError(
                f"{tokenizer.spec.id}: observation has no {key!r}; it has {sorted(flat)}"
            )
        if np.ndim(flat[key]) == rank:
            return [observation], False
        count = len(flat[key])
        if not isinstance(observation, Mapping):
            return list(observation), True
        return [{k: v[i] for k, v in flat.items()} for i in range(count)], True


def _is_tokenized(tokenizer: StepTokenizer, obs: Any) -> bool:
    raw_keys = {item.key for item in tokenizer.spec.observations}
    return isinstance(obs, Mapping) and "ids" in obs and "ids" not in raw_keys


def _describe(spec: TaskSpec) -> str:
    leaves = ", ".join(f"{o.key}: {o.kind} {o.shape}" for o in spec.observations)
    return f"{{{leaves}}} with {spec.action.kind} actions of {spec.action.size} numbers"


def _layer_with(env: Any, attribute: str) -> Any:
    """The outermost wrapper that has the attribute; of a vector environment, its first copy's."""
    env = getattr(env, "envs", [env])[0]
    while env is not None:
        if attribute in vars(env):
            return env
        env = getattr(env, "env", None)
    return None
