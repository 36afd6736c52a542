"""Prompts that the network has read: once for each task, for all episodes that start from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gato_gym.agents.role import Role
from gato_gym.errors import PromptError
from gato_gym.models.decode import Decoder
from gato_gym.models.stream import TokenStreams
from gato_gym.types import Episode, TaskSpec

# Share of the context that a prompt may take; what is left holds the episode's first steps.
PROMPT_SHARE = 0.5


@dataclass(frozen=True)
class OtherTask:
    """A prompt that shows another task on purpose: a control, to see what a prompt is worth.

    Its steps become the tokens that they are in their own task, whose observations and actions may
    have another form than those of the task that is played. `GatoAgent.explain` names the tokens
    of such a prompt as if they were the played task's.

    Args:
        episode: of the other task.
        spec: of that task.

    Raises:
        PromptError: the episode is of a third one.
    """

    episode: Episode
    spec: TaskSpec

    def __post_init__(self) -> None:
        if self.episode.task != self.spec.id:
            raise PromptError(
                f"the prompt shows {self.episode.task}, its spec is of {self.spec.id}: give the "
                "spec of the task that it shows"
            )


class Demonstrations:
    """Streams that hold a prompt, by task.

    Args:
        decoder: reads them.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._room = int(decoder.config.context * PROMPT_SHARE)
        self._read: dict[str, tuple[Episode, TokenStreams]] = {}

    def of(self, role: Role) -> TokenStreams | None:
        """A one-row stream of the task's prompt, None where it has none."""
        read = self._read.get(role.spec.id)
        return None if read is None else read[1]

    def read(
        self,
        roles: Sequence[Role],
        prompts: Mapping[str, Episode | None],
        own: bool,
        shown: Role | None = None,
    ) -> None:
        """Read what has not been read yet; forget other tasks.

        Args:
            roles: who plays.
            prompts: by task.
            own: they are the agent's own. Such are whole episodes, and cutting them is no news;
                where not even a step fits, there is none.
            shown: the role that prompts show; None is the one that is played. Of a control it is no
                news either that it is cut.

        Raises:
            PromptError: not one step of a prompt fits.
        """
        self._read = {task: read for task, read in self._read.items() if task in prompts}
        for role in roles:
            task = role.spec.id
            prompt, read, reader = prompts[task], self._read.get(task), shown or role
            if prompt is None or (own and reader.step_tokens(prompt)[0] > self._room):
                self._read.pop(task, None)
            elif read is None or read[0] is not prompt:
                steps = reader.prompt_steps(prompt, self._room, tell=not own and shown is None)
                self._read[task] = prompt, self._prefill(reader, prompt, steps)

    def forget(self) -> None:
        """Forget all, for they were read with other weights."""
        self._read = {}

    def _prefill(self, role: Role, prompt: Episode, steps: int) -> TokenStreams:
        """A one-row stream of the prompt's first steps (section 2.3)."""
        tokenizer, streams = role.tokenizer, TokenStreams(self._decoder, [role.tokenizer])
        ids, patches = tokenizer.observation_ids(
            {key: values[:steps] for key, values in prompt.observations.items()}
        )
        sequences = [tokenizer.from_ids(*step) for step in zip(ids, patches, strict=True)]
        streams.teach(sequences, tokenizer.action_ids(prompt.actions[:steps]))
        return streams
