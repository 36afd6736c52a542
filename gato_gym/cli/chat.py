"""Talk with an agent: in a terminal, or line by line from a pipe.

examples:
    gato-gym chat
    gato-gym chat --message "what can you do?" "and how do i record it?" --json
    echo "which game has boxers in it?" | gato-gym chat --temperature 0.7 --seed 3

In a terminal, Ctrl-C ends a reply, and Ctrl-C or Ctrl-D the conversation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gato_gym.cli.players import PrecisionName, load_gato, print_json
from gato_gym.cli.wording import as_trained
from gato_gym.data.sources.texts import clean

PROMPT = "you> "


@dataclass(frozen=True)
class Options:
    """Who talks, and how."""

    checkpoint: str | None = None
    """Folder or Hub id of the model; default is the bundled one."""
    task: str | None = None
    """Of the model's tasks of one text and one reply; default is text/dialogue."""
    message: tuple[str, ...] = ()
    """Say this instead of asking, one message after the other, each with its reply."""
    system: str | None = None
    """Stands before the first message."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; the higher, the freer."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that hold this share of all probability."""
    max_tokens: int | None = None
    """Of a reply; default is as many as the task allows."""
    seed: int = 0
    """Of what is drawn."""
    precision: PrecisionName = "float32"
    """Of the weights; int8 needs torchao."""
    lower: bool = True
    """Talk to the suite's text/dialogue in lower case, which is all that it is made of."""
    json: bool = False
    """Print the whole conversation as JSON in the end, and nothing before."""


def run(options: Options) -> int:
    """Hold a conversation."""
    talk = Talk(load_gato(options.checkpoint, precision=options.precision), options)
    if options.message or not sys.stdin.isatty() or options.json:
        for message in options.message or sys.stdin:
            if options.message or message.strip():
                talk.answer(message.rstrip("\r\n"))
    else:
        _interactive(talk)
    if options.json:
        print_json({"checkpoint": talk.agent.checkpoint, "messages": talk.messages})
    return 0


class Talk:
    """A conversation with an agent.

    Args:
        agent: who answers.
        options: how.
    """

    def __init__(self, agent: Any, options: Options) -> None:
        self.agent, self._options, self._seed = agent, options, options.seed
        self.messages: list[dict[str, str]] = []
        """So far."""
        if options.system is not None:
            self.messages.append({"role": "system", "content": self._said(options.system)})

    def answer(self, message: str) -> None:
        """Tell the reply to a message; one that was interrupted counts as far as it came.

        Raises:
            ValueError: a message or an option that cannot be; the conversation is as before.
        """
        said = [*self.messages, {"role": "user", "content": self._said(message)}]
        told, pieces = self._reply(said), list[str]()
        try:
            for piece in told:
                pieces.append(piece)
                if not self._options.json:
                    # The terminal would obey control characters.
                    print(clean(piece, "replace"), end="", flush=True)
        finally:
            if not self._options.json:
                print()
            reply = "".join(pieces)
            self.messages = said
            # Nobody can be told an empty message; what follows it is another turn all the same.
            if reply.strip():
                self.messages.append({"role": "assistant", "content": reply})

    def _said(self, text: str) -> str:
        if not self._options.lower:
            return text
        return as_trained(text, self.agent, "text/dialogue", self._options.task)

    def _reply(self, said: list[dict[str, str]]) -> Iterator[str]:
        self._seed += 1
        pieces: Iterator[str] = self.agent.chat(
            said,
            task=self._options.task,
            temperature=self._options.temperature,
            top_p=self._options.top_p,
            max_tokens=self._options.max_tokens,
            seed=self._seed - 1,
            stream=True,
        )
        return pieces


def _interactive(talk: Talk) -> None:
    """Until Ctrl-D, or Ctrl-C where no reply is being told."""
    print(f"{talk.agent.checkpoint} listens; Ctrl-D ends", file=sys.stderr)
    while True:
        try:
            message = input(PROMPT)
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not message.strip():
            continue
        try:
            talk.answer(message)
        except KeyboardInterrupt:
            continue
        except ValueError as error:
            print(error, file=sys.stderr)
