"""What an agent says when it is asked: captions, answers, replies (paper sections 2.1 and 5.7).

The tasks that it was trained on tell what it can do, by their form: one picture and no text is
captioned, one picture and one text is a question that is answered, one text alone is a turn of a
conversation. Each call has streams of its own, so an episode that is being played goes on as if
nobody had asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from gato_gym.agents.role import Role
from gato_gym.agents.speaker import Prompt, Speaker
from gato_gym.agents.utterance import Manner
from gato_gym.models.decode import Decoder
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.tokenizers.timestep import TokenSequence
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import Episode, TaskSpec


class Speech:
    """The words of a `GatoAgent`.

    All methods share these options:

    task         the task to speak in, where the agent was trained on several of the form
    prompt       a demonstration to start from, as in `GatoAgent.reset`; None = none
    temperature  0 takes the likeliest token each time; above, the lower the likelier
    top_p        draws among the likeliest tokens that hold this share of all probability
    max_tokens   of a text; None = as many as the task allows, and never more
    seed         of what is drawn; None goes on with the agent's own random numbers
    stream       return an iterator of pieces instead, whose join is the whole text; no piece ends
                 in half a letter

    Texts may hold any characters; control characters but tabs and newlines are left out. A text
    that is longer than the slot of its task is cut at its end, which is logged as a warning.
    """

    decoder: Decoder
    specs: dict[str, TaskSpec]
    prompts: dict[str, Episode]
    vocabulary: Vocabulary
    text: TextTokenizer | None
    _voice: torch.Generator

    def caption(
        self,
        image: Any,
        *,
        task: str | None = None,
        prompt: Prompt = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        seed: int | None = None,
        stream: bool = False,
    ) -> Any:
        """What is seen in a picture.

        Args:
            image: a path, the bytes of an image file, a PIL image or an (H, W, 3) array; it is
                resized to the size of the task. A list of them gives a list of captions.

        Returns:
            The caption, a list of them, or with `stream` an iterator of pieces.

        Raises:
            UnknownTaskError: the agent was not trained on such a task.
            ValueError: what is no picture, an option out of range, a stream of several texts.
            NonFiniteError: the predictions are not finite.
        """
        manner = Manner.of(temperature, top_p, max_tokens)
        speaker = self._speaker(seed)
        role = speaker.role(speaker.find("caption", task))
        images, several = _listed(image)
        sequences = [speaker.read(role, one) for one in images]
        start = speaker.prompted(role, prompt)
        return _told(speaker, role, sequences, manner, start, several, stream)

    def answer(
        self,
        image: Any,
        question: str | Sequence[str],
        *,
        task: str | None = None,
        prompt: Prompt = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        seed: int | None = None,
        stream: bool = False,
    ) -> Any:
        """The answer to a question about a picture.

        Args:
            image: see `caption`.
            question: a text. Lists of pictures and of questions, of the same length, or one of them
                single, give a list of answers.

        Returns:
            The answer, a list of them, or with `stream` an iterator of pieces.

        Raises:
            UnknownTaskError, ValueError, NonFiniteError: see `caption`; an empty question.
        """
        manner = Manner.of(temperature, top_p, max_tokens)
        speaker = self._speaker(seed)
        role = speaker.role(speaker.find("answer", task))
        (images, many), (questions, asked) = _listed(image), _listed(question)
        if many and asked and len(images) != len(questions):
            raise ValueError(
                f"{len(images)} pictures and {len(questions)} questions: pass as many of both, or "
                "one of either"
            )
        count = len(images) if many else len(questions)
        pairs = zip(
            images if many else images * count,
            questions if asked else questions * count,
            strict=True,
        )
        sequences = [speaker.read(role, picture, text) for picture, text in pairs]
        start = speaker.prompted(role, prompt)
        return _told(speaker, role, sequences, manner, start, many or asked, stream)

    def chat(
        self,
        messages: str | Sequence[Mapping[str, str]],
        *,
        task: str | None = None,
        prompt: Prompt = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        stream: bool = False,
    ) -> Any:
        """The reply to the last message of a conversation.

        Args:
            messages: what the user says; or the whole conversation, as mappings with "role"
                ("system", "user", "assistant") and "content", see `data.sources.chat`. Past replies
                are read as they were given; the oldest turns fall out where not all fit the
                context.
            stop: the reply ends before the first of these.

        Returns:
            The reply, or with `stream` an iterator of pieces.

        Raises:
            UnknownTaskError, NonFiniteError: see `caption`.
            ValueError: nothing to reply to, an option out of range.
        """
        from gato_gym.data.sources.chat import turns

        manner = Manner.of(temperature, top_p, max_tokens, stop)
        speaker = self._speaker(seed)
        role = speaker.role(speaker.find("chat", task))
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        taken = turns(said)
        if not taken or taken[-1][1] is not None:
            raise ValueError("the conversation ends with a reply: add a message of the user")
        sequence, streams = speaker.converse(role, taken, speaker.prompted(role, prompt))
        return _told(speaker, role, [sequence], manner, streams, False, stream)

    def generate(
        self,
        text: str = "",
        *,
        task: str | None = None,
        prompt: Prompt = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        stream: bool = False,
    ) -> Any:
        """How a text goes on, as an action that began with it after an empty observation.

        Args:
            text: its beginning.
            max_tokens: of what is added, None for as many as the task allows; with those of the
                text they must fit the context.
            stop: the text ends before the first of these.

        Returns:
            What comes after `text`, or with `stream` an iterator of its pieces.

        Raises:
            UnknownTaskError, NonFiniteError: see `caption`.
            ValueError: it does not fit, or an option out of range.
        """
        manner = Manner.of(temperature, top_p, max_tokens, stop)
        speaker = self._speaker(seed)
        spec = speaker.find("chat", task)
        role, sequence, manner = speaker.continued(text, spec, manner)
        start = speaker.prompted(role, prompt)
        return _told(speaker, role, [sequence], manner, start, False, stream)

    def _speaker(self, seed: int | None) -> Speaker:
        self._notice_changes()
        voice = self._voice if seed is None else torch.Generator().manual_seed(seed)
        return Speaker(self.decoder, self.specs, self.prompts, self.vocabulary, self.text, voice)

    if TYPE_CHECKING:

        def _notice_changes(self) -> None: ...


def _listed(given: Any) -> tuple[list[Any], bool]:
    """A list of what is given, and whether it was one."""
    several = isinstance(given, list | tuple)
    return (list(given) if several else [given]), several


def _told(
    speaker: Speaker,
    role: Role,
    sequences: Sequence[TokenSequence],
    manner: Manner,
    start: TokenStreams | None,
    several: bool,
    stream: bool,
) -> str | list[str] | Iterator[str]:
    if stream and several:
        raise ValueError("stream=True tells one text: pass one picture and one question")
    if stream:
        told = speaker.say(role, sequences, manner, start)
        return (piece for (piece,) in told if piece)
    said = speaker.say_all(role, sequences, manner, start)
    return said if several else said[0]
