"""GatoAgent: the network as something that acts (paper section 2.4).

An action is decoded number by number with a key/value cache; ids outside the action space are
masked out. Beyond the context the oldest whole steps fall out, the prompt's first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin

from gato_gym.agents.demonstrations import Demonstrations, OtherTask
from gato_gym.agents.explanation import Explanation, explain
from gato_gym.agents.role import (
    Role,
    check_state,
    find_prompt,
    find_space,
    find_spec,
    read_starts,
)
from gato_gym.agents.sampling import Sampler
from gato_gym.agents.saving import Saving
from gato_gym.agents.speech import Speech
from gato_gym.models import choice
from gato_gym.models.decode import Decoder
from gato_gym.models.device import choose_device
from gato_gym.models.gato import Gato
from gato_gym.models.precision import check_precision, set_precision
from gato_gym.models.processes import ByValue
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.bundle import find_bundle
from gato_gym.training.bundled import NAME, means_bundled
from gato_gym.types import Episode, TaskSpec

Task = gym.Env | gym.vector.VectorEnv | str


class GatoAgent(  # type: ignore[misc]  # push_to_hub uploads a video, but no configuration
    Speech,
    Saving,
    ByValue,
    PyTorchModelHubMixin,
    library_name="gato-gym",
    tags=["gato", "reinforcement-learning", "robotics"],
):
    """One set of weights that acts in any task whose spaces are supported, and speaks.

    Args:
        model: the network.
        specs: task id -> spec, the tasks it was trained on.
        prompts: task id -> a demonstration by that task's expert.
        text: text model, where observations hold text.
        documents: card and scorecard that travel with it, see `training.bundle`.
        name: shown in reports.
        seed: of sampled actions (deterministic=False), and apart from them of sampled texts.
        compile: see `from_pretrained`.
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
        compile: bool | None = None,
    ) -> None:
        self.model = model.eval()
        self.config = model.config
        self.vocabulary = Vocabulary(model.config.text_size)
        self.specs, self.prompts, self.text = dict(specs), dict(prompts or {}), text
        self.documents, self.checkpoint = dict(documents or {}), name
        self._temperature = 1.0
        self._random, self._voice = (torch.Generator().manual_seed(seed) for _ in range(2))
        self.decoder = Decoder(self.model, compile)
        """Runs the network; tells what was compiled."""
        self._roles: list[Role] = []
        """One that all rows play, or with `_mixed` one for each row."""
        self._mixed = False
        self._demonstrations = Demonstrations(self.decoder)
        self._streams: TokenStreams | None = None
        self._started = False
        self._weights: tuple[Any, ...] = ()
        """What they were like at the last reset, see `Decoder.fingerprint`."""

    @property
    def temperature(self) -> float:
        """Of sampled actions; the lower, the likelier the likeliest."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        if not 0 < value < float("inf"):
            raise ValueError(f"temperature {value} must be positive: deterministic=True draws none")
        self._temperature = value

    # Loading

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | None = None,
        precision: str = "float32",
        compile: bool | None = None,
        **hub: Any,
    ) -> GatoAgent:
        """Load an agent.

        Args:
            pretrained_model_name_or_path: a folder, a Hub id ("owner/name" or
                "owner/name@revision"), or None or "bundled" for the weights that come with it.
            revision: of the Hub repository: a branch, a tag or a commit's hash.
            device: where to run; None = cuda if there is one.
            precision: of the weights: "float32", "bfloat16" or "int8", see `models.precision`.
            compile: passes of fixed shapes, compiled, on a GPU recorded as CUDA graphs; None = on
                a GPU.
            hub: options of the download, see `training.hub.OPTIONS`.

        Raises:
            CorruptCheckpointError: the folder is missing, incomplete or changed; as `HubError`: the
                Hub has no such model, does not let us in, or cannot be reached.
            ValueError: no such device or precision.
            MissingExtraError: int8 without torchao.
        """
        source = pretrained_model_name_or_path
        where = choose_device(device)
        check_precision(precision)
        bundle = find_bundle(source, revision, **hub)
        return cls(
            set_precision(bundle.model.to(where), precision),
            bundle.specs,
            bundle.prompts,
            bundle.text,
            bundle.documents,
            name=NAME if means_bundled(source) else str(source),
            compile=compile,
        )

    # Acting

    def reset(
        self,
        env_or_task: Task | Sequence[Task],
        prompt: str | Path | Episode | OtherTask | None = "expert",
    ) -> None:
        """Start an episode: learn the task's spec, forget the past, load a demonstration.

        Args:
            env_or_task: an environment made by `gato_gym.make` or `gymnasium.make`, a vector
                environment, or a task id. Of a sequence of them `predict` plays the i-th in row i.
            prompt: "expert" for the checkpoint's own demonstration of the task (none where it has
                none), an `Episode`, the path of a stored one, an `OtherTask`, or None.

        Raises:
            UnknownTaskError: no such task.
            PromptError: the prompt shows another task, or not one step of it fits.
            InvalidObservationError: the environment observes something else than the weights were
                trained on, e.g. another image size.
        """
        # Whatever fails below leaves an agent that asks for a reset, not one that mixes two tasks.
        previous, self._roles, self._started = self._roles, [], False
        self._mixed = isinstance(env_or_task, list | tuple)
        tasks: Sequence[Any] = env_or_task if self._mixed else [env_or_task]  # type: ignore[assignment, list-item]  # told apart above
        if not len(tasks):
            raise ValueError("no task: pass an environment, an id, or at least one of them")
        roles = [self._role(task, previous) for task in tasks]
        prompts = {role.spec.id: role.spec for role in roles}
        shown, found = None, dict[str, Episode | None]()
        if isinstance(prompt, OtherTask):
            shown = Role(prompt.spec, None, self.vocabulary, self.text, self.config.context)
            found = dict.fromkeys(prompts, prompt.episode)
        else:
            found = {
                task: find_prompt(spec, prompt, self.prompts) for task, spec in prompts.items()
            }
        self._notice_changes()
        own = isinstance(prompt, str) and prompt == "expert"
        self._demonstrations.read(roles, found, own, shown)
        if roles != previous:
            self._streams = None
        self._roles = roles

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """The next action for one environment, an element of its action space.

        Args:
            obs: raw or tokenised observation of the task that `reset` was given.
            deterministic: the likeliest values, of floats medians (`models.choice`); else drawn.

        Raises:
            InvalidObservationError: a NaN, a wrong shape, a missing key.
            NonFiniteError: the network's predictions are not finite.
        """
        role, sequence, streams = self._listen(obs)
        ids = streams.decide([sequence], self._choose(deterministic))[0]
        assert ids is not None
        return role.action(ids)

    def follow(self, obs: Any, action: Any) -> None:
        """Read an observation after which somebody else acted; the episode goes on with that.

        Args:
            obs: see `act`.
            action: what was executed, an element of the action space.

        Raises:
            InvalidObservationError: see `act`; or it is no action of the task.
            NonFiniteError: see `act`.
        """
        role, sequence, streams = self._listen(obs)
        streams.decide([sequence], choice.Given(role.chosen(action)))

    def explain(self, obs: Any) -> Explanation:
        """What `act` would do for an observation, how sure it is, and what it looks at.

        The episode stays where it is: `act(obs)` goes on as if nobody had asked.

        Args:
            obs: see `act`.

        Raises:
            InvalidObservationError, NonFiniteError: see `act`.
            UnsupportedSpaceError: the action is text.
        """
        role, sequence, streams = self._listen(obs)
        return explain(role, sequence, streams.look([sequence])[0])

    def _listen(self, obs: Any) -> tuple[Role, TokenSequence, TokenStreams]:
        """The task, the tokens of an observation, and the stream that they go on with."""
        role = self._ready()[0]
        if self._mixed:
            raise RuntimeError("the agent was reset for a batch of tasks: use agent.predict")
        sequence = role.read(obs, self._streams.rows[0].steps if self._started else 0)  # type: ignore[union-attr]  # set when started
        if self._streams is None:
            self._streams = TokenStreams(self.decoder, [role.tokenizer])
        self._streams.decoder = self.decoder  # a copied agent's streams come without one
        if not self._started:
            self._streams.restart(0, self._demonstrations.of(role))
            self._started = True
        return role, sequence, self._streams

    def predict(
        self,
        observation: Any,
        state: TokenStreams | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[Any, TokenStreams]:
        """The contract of Stable-Baselines3's policies: batched, with explicit state.

        Args:
            observation: of one environment, or stacked over a vector environment's. After a reset
                for several tasks a sequence of B observations, None for a row that waits.
            state: what the last call returned; None starts all episodes.
            episode_start: (B,) bool, which environments have just been reset.
            deterministic: see `act`.

        Returns:
            The action, stacked actions, or for texts and for several tasks a list of them; and the
            state (changed in place) for the next call.

        Raises:
            InvalidObservationError, NonFiniteError: see `act`.
            ValueError: a state of another number of environments.
        """
        roles = self._ready()
        if self._mixed:
            observations, batched = list(observation), True
        else:
            observations, batched = roles[0].split(observation)
            roles = roles * len(observations)
        if len(roles) != len(observations):
            raise ValueError(
                f"the agent was reset for {len(roles)} tasks, observations are of "
                f"{len(observations)}: pass one for each, None where a row waits"
            )
        if state is None:
            state = TokenStreams(self.decoder, [role.tokenizer for role in roles])
            state.weights = self._weights[:1]
            starts = np.ones(len(roles), bool)
        else:
            check_state(roles, [tokenizer.spec for tokenizer in state.tokenizers])
            if state.weights != self._weights[:1]:
                raise ValueError(
                    "the state was made with other weights: pass state=None to start the episodes"
                )
            state.decoder = self.decoder
            starts = read_starts(episode_start, len(roles))
        for row in np.flatnonzero(starts).tolist():
            state.restart(row, self._demonstrations.of(roles[row]))
        sequences = [
            None if obs is None else role.read(obs, row.steps)
            for role, obs, row in zip(roles, observations, state.rows, strict=True)
        ]
        decided = state.decide(sequences, self._choose(deterministic))
        actions = [
            None if ids is None else role.action(ids)
            for role, ids in zip(roles, decided, strict=True)
        ]
        if self._mixed or (batched and roles[0].spec.speaks):
            return actions, state
        return (np.stack(actions) if batched else actions[0]), state  # type: ignore[arg-type]  # no row waits

    def _choose(self, deterministic: bool) -> choice.Choose:
        return choice.deterministic if deterministic else Sampler(self._random, self._temperature)

    def _role(self, env_or_task: Task, previous: Sequence[Role]) -> Role:
        spec = find_spec(env_or_task, self.specs)
        space = find_space(env_or_task, self.vocabulary)
        for role in previous:
            if role.spec == spec and role.space == space:
                return role
        return Role(spec, space, self.vocabulary, self.text, self.config.context)

    def _notice_changes(self) -> None:
        """Weights may have been trained, rounded or moved since the last reset."""
        now = self.decoder.fingerprint()
        if now != self._weights:
            if self._weights:
                self.decoder.forget()
            self._weights, self._streams = now, None
            self._roles, self._started = [], False
            self._demonstrations.forget()

    def _ready(self) -> list[Role]:
        if not self._roles:
            raise RuntimeError("call agent.reset(env) before the first action")
        return self._roles
