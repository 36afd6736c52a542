"""Say what is in pictures, or answer a question about them.

examples:
    gato-gym caption scene.png
    gato-gym caption scene.png other.jpg --question "what is on the red block?" --json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from gato_gym.cli.players import PrecisionName, load_gato, print_json
from gato_gym.cli.wording import as_trained
from gato_gym.data.sources.texts import clean


@dataclass(frozen=True)
class Options:
    """Which pictures, and what is asked about them."""

    images: Positional[tuple[Path, ...]]
    """Picture files of any common format; they are resized to what the model sees."""
    question: str | None = None
    """Answer this about each of them instead."""
    checkpoint: str | None = None
    """Folder or Hub id of the model; default is the bundled one."""
    task: str | None = None
    """Of the model's tasks of this form; default is text/captioning, with a question text/vqa."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; the higher, the freer."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that hold this share of all probability."""
    max_tokens: int | None = None
    """Of a text; default is as many as the task allows."""
    seed: int = 0
    """Of what is drawn."""
    precision: PrecisionName = "float32"
    """Of the weights; int8 needs torchao."""
    lower: bool = True
    """Ask the suite's text/vqa in lower case, which is all that it is made of."""
    json: bool = False
    """Print JSON."""


def run(options: Options) -> int:
    """Print a line for each picture."""
    if not options.images:
        raise ValueError("name at least one picture: gato-gym caption scene.png")
    agent = load_gato(options.checkpoint, precision=options.precision)
    how = {
        "task": options.task,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_tokens": options.max_tokens,
        "seed": options.seed,
    }
    images = list(options.images)
    question = options.question
    if question is None:
        told, name = agent.caption(images, **how), "caption"
    else:
        if options.lower:
            question = as_trained(question, agent, "text/vqa", options.task)
        told, name = agent.answer(images, question, **how), "answer"
    if options.json:
        rows = [{"image": str(i), name: text} for i, text in zip(images, told, strict=True)]
        print_json({"checkpoint": agent.checkpoint, "question": question, "images": rows})
        return 0
    for image, text in zip(images, told, strict=True):
        text = clean(text, "replace")  # the terminal would obey control characters
        print(text if len(images) == 1 else f"{image}: {text}")
    return 0
