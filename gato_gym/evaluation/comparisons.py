"""What a score is to be read beside: controls, baselines and the perplexity of an expert's words.

A control is the same task, the same seeds, and one source of information taken away. What an agent
loses there it owed to that source.

    shuffled_image     text/captioning with the picture of another scene
    question_only      text/vqa with a blank picture
    shuffled_question  text/dialogue with what users of other dialogues say
    shuffled_text      tasks that observe text and act in numbers, with the text of another episode
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import gymnasium
from scipy import stats

from gato_gym import envs
from gato_gym.agents import Agent
from gato_gym.errors import MissingExtraError
from gato_gym.evaluation.baselines import FrequentReply, Recital, dialogue_of, expert_episodes
from gato_gym.evaluation.controls import make_shuffled
from gato_gym.evaluation.ngram import ngram_baseline
from gato_gym.evaluation.rollout import Observer
from gato_gym.evaluation.scores import Score, evaluate
from gato_gym.tokenizers.default_text import default_text
from gato_gym.types import Episode, TaskSpec

CONTROLS = {
    "text/captioning": "shuffled_image",
    "text/vqa": "question_only",
    "text/dialogue": "shuffled_question",
}
"""Of tasks that make it themselves: `make(task, shuffled=True)`."""
SHUFFLED_TEXT = "shuffled_text"

PICTURE_EPISODES, OTHER_EPISODES = 100, 2000
"""Of experts, that baselines learn from: drawing a picture takes long."""
NGRAM_TASKS = ("text/dialogue",)
NGRAM_ORDER = 4


class Model(Protocol):
    """What perplexity needs of an agent, see `GatoAgent`."""

    model: Any
    config: Any
    vocabulary: Any
    text: Any
    specs: Mapping[str, TaskSpec]
    prompts: Mapping[str, Episode]


Watch = Callable[[str, int], AbstractContextManager[Observer]]
"""Of a title and a number of episodes, a progress bar."""


def control_of(spec: TaskSpec) -> str | None:
    """The name of a task's control, None where it has none."""
    if spec.speaks:
        return CONTROLS.get(spec.id)
    return SHUFFLED_TEXT if spec.has_text else None


def compare(
    score: Score,
    agent: Any,
    model: Model,
    said: Sequence[Episode],
    *,
    prompt: str | None = "expert",
    watch: Watch,
) -> dict[str, Any]:
    """What belongs beside a score, as JSON: "controls"; of text "baselines", "perplexity" too.

    Args:
        score: of the task as it is; the same episodes are played.
        agent: who played.
        model: the `GatoAgent` in it.
        said: what an expert says in the episodes, see `TruthRecorder`; none where nobody knows.
        prompt: see `perplexity`.
        watch: makes the observer of each part.
    """
    spec = envs.task_spec(score.task)
    found: dict[str, Any] = {"controls": {}}
    control = control_of(spec)
    if control is not None:
        with watch(f"{score.task} {control}", score.episodes) as bar:
            found["controls"][control] = _control(score, agent, _maker(score.task, control), bar)
    if spec.speaks and said:
        from gato_gym.evaluation.perplexity import perplexity  # brings torch

        foreseen = perplexity(model, said, prompt=prompt).to_json()
        found |= {"perplexity": foreseen["perplexity"], "teacher_forcing": foreseen}
        if spec.expert is not None:
            found["baselines"] = _baselines(score, spec, said, model)
    return found


def _maker(task: str, control: str) -> Callable[[], gymnasium.Env]:
    if control == SHUFFLED_TEXT:
        return partial(make_shuffled, task)
    return partial(envs.make, task, shuffled=True)


def _control(
    score: Score, agent: Any, make: Callable[[], gymnasium.Env], observer: Observer
) -> dict[str, Any]:
    found = evaluate(
        score.task,
        agent,
        episodes=score.episodes,
        seed=score.seed,
        num_envs=score.num_envs,
        observers=[observer],
        make=make,
    )
    if found.accuracy is not None:
        return _accuracy(found)
    by_success = score.success_rate is not None
    right, wrong = (
        (one.success_rate if by_success else one.mean_return) or 0.0 for one in (score, found)
    )
    return {
        "mean_return": found.mean_return,
        "ci95": list(found.ci95),
        "success_rate": found.success_rate,
        "ratio": right / wrong if wrong > 0 else None,
        "ratio_at_least": _least_ratio(score, found) if by_success else None,
        "ratio_of": "success_rate" if by_success else "mean_return",
    }


def _least_ratio(score: Score, control: Score) -> float:
    """The success that is sure over the one of the control that is possible: exact 95 % intervals
    of both. It is a number, too, where the control never succeeds."""
    low, high = (
        stats.binomtest(
            round(one.episodes * (one.success_rate or 0.0)), one.episodes
        ).proportion_ci()
        for one in (score, control)
    )
    return float(low.low / high.high)


def _accuracy(score: Score) -> dict[str, Any]:
    assert score.accuracy_ci95 is not None and score.language is not None
    return {
        "accuracy": score.accuracy,
        "accuracy_ci95": list(score.accuracy_ci95),
        "exact": score.language.total.exact,
        "sources": {name: one.accuracy for name, one in score.language.sources.items()},
    }


def _baselines(
    score: Score, spec: TaskSpec, said: Sequence[Episode], model: Model
) -> dict[str, Any]:
    draws = any(leaf.kind == "image" for leaf in spec.observations)
    learned = expert_episodes(score.task, PICTURE_EPISODES if draws else OTHER_EPISODES)

    def play(agent: Agent) -> dict[str, Any]:
        return _accuracy(evaluate(score.task, agent, episodes=score.episodes, seed=score.seed))

    found = {"most_frequent_reply": play(FrequentReply(learned))}
    if score.task in NGRAM_TASKS:
        test = sorted(said, key=lambda episode: episode.seed)
        try:
            counted = ngram_baseline(
                map(dialogue_of, learned),
                map(dialogue_of, test),
                model.text or default_text(),
                NGRAM_ORDER,
            )
        except MissingExtraError:
            return found  # `text_metrics` has told why
        own = {"perplexity": counted.perplexity, "tokens": counted.tokens, "order": NGRAM_ORDER}
        found["ngram"] = play(Recital(counted.replies)) | own
    return found
