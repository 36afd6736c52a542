"""`gato-gym eval` of tasks that speak or are told what to do, on a tiny agent of random weights."""

from dataclasses import replace

import av
import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli.score_table import details, print_table
from gato_gym.config import model_config
from gato_gym.evaluation import comparisons
from gato_gym.evaluation.intervals import bootstrap_interval
from gato_gym.evaluation.language import READING_FPS, Reply, language_score
from gato_gym.evaluation.scores import Score
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.default_text import default_text

TALK, TOLD = "text/dialogue", "gato_gym/BlockStacking-Instructed-v0"
READ = "text/read-from-a-data-set"
ALL = {"task", "episodes", "seed", "mean_return", "ci95", "random", "expert", "normalized"}
ALL |= {"success_rate", "checkpoint", "steps_per_second"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of the agent."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("text") / "agent"
    specs = {task: envs.task_spec(task) for task in (TALK, TOLD, "CartPole-v1")}
    specs[READ] = replace(specs[TALK], id=READ, family="data")  # no environment makes it
    model = Gato(replace(model_config("tiny"), context=512))
    with torch.no_grad():  # random weights hardly ever end a text: these do after a few tokens
        model.norm.bias += 25 * model.embedding.ids.weight[default_text().end]
    GatoAgent(model, specs).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Baselines learn from little, and stacking ends early."""
    monkeypatch.setattr(comparisons, "OTHER_EPISODES", 10)
    make = envs.make

    def shorter(task, **kwargs):
        return make(task, **({"max_episode_steps": 2} if task == TOLD else {}) | kwargs)

    monkeypatch.setattr(envs, "make", shorter)


def test_a_task_that_speaks_is_scored_beside_what_it_takes(run_json, tiny):
    found = run_json("eval", "--task", TALK, "--checkpoint", tiny, "--episodes", 2)
    assert found.keys() >= ALL | {"accuracy", "accuracy_ci95", "exact", "sources", "held_out"}
    assert found["accuracy"] == sum(found["returns"]) / (2 * found["mean_length"])
    assert found["controls"]["shuffled_question"].keys() >= {"accuracy", "accuracy_ci95", "exact"}
    assert found["baselines"].keys() == {"most_frequent_reply", "ngram"}
    assert found["baselines"]["ngram"]["perplexity"] > 1
    # Random weights over 2,049 ids.
    assert 500 < found["perplexity"] < 10_000
    alone = run_json(
        *("eval", "--task", TALK, "--checkpoint", tiny, "--episodes", 2),
        *("--no-controls", "--num-envs", 1),
    )
    assert "controls" not in alone and "perplexity" not in alone
    for key in ("returns", "accuracy", "sources"):
        assert alone[key] == found[key]
    assert alone["text_metrics"] == pytest.approx(found["text_metrics"])


def test_an_instruction_is_exchanged_on_request(run_json, tiny):
    command = ("eval", "--task", TOLD, "--checkpoint", tiny, "--episodes", 1)
    assert "controls" not in run_json(*command)
    found = run_json(*command, "--controls")
    assert set(found["controls"]) == {"shuffled_text"} and "accuracy" not in found


def test_all_tasks_are_compared_on_request_only(run_json, tiny, tmp_path):
    command = ("eval", "--all", "--checkpoint", tiny, "--episodes", 1)
    rows = run_json(*command)["tasks"]
    assert [("controls" in row, "accuracy" in row) for row in rows] == [
        (False, True),
        (False, False),
        (False, False),
    ]
    rows = run_json(*command, "--controls")["tasks"]
    assert ["controls" in row for row in rows] == [True, True, False]


def test_a_task_that_always_says_the_same_is_scored_without(run_json, fails, tiny, tmp_path):
    pytest.importorskip("minigrid")
    task, agent = "gato_gym/BabyAI-GoToRedBallNoDists-pixels-v0", GatoAgent.from_pretrained(tiny)
    folder = tmp_path / "agent"
    GatoAgent(agent.model, {task: envs.task_spec(task)}, text=agent.text).save_pretrained(folder)
    command = ("eval", "--checkpoint", folder, "--episodes", 1, "--controls")
    found = run_json(*command, "--all")
    assert found["skipped"] == {} and "controls" not in found["tasks"][0]
    assert "200 other episodes ask for what 'go to the red ball' asks for" in fails(
        *command, "--task", task
    )


def test_the_expert_is_always_right(run_json):
    found = run_json("eval", "--task", TALK, "--agent", "expert", "--episodes", 3)
    assert (found["accuracy"], found["exact"]) == (1.0, 1.0) and "controls" not in found


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--task", TALK, "--controls", "--no-controls"), "not both"),
        (("--task", TALK, "--controls", "--agent", "expert"), "--controls is for --agent gato"),
        (("--task", TALK, "--controls", "--ray", "local"), "leave --ray out"),
        (("--task", "CartPole-v1", "--controls"), "CartPole-v1 observes no text"),
    ],
)
def test_wrong_use(arguments, told, fails):
    assert told in fails("eval", *arguments)


def test_people_read_a_table(capsys):
    replies = [Reply(7000 + i, "a key", "a key", float(i < 3), "grid", i < 1) for i in range(4)]
    words = language_score(replies)
    interval = bootstrap_interval([1.0, 1.0, 1.0, 0.0])
    score = Score(
        **{"task": "text/vqa", "episodes": 4, "seed": 7000, "mean_return": 0.75},
        **{"ci95": interval, "random": 0.0, "expert": 1.0, "normalized": 0.75},
        **{"success_rate": None, "checkpoint": "x", "steps_per_second": 3.0, "mean_length": 1.0},
        **{"returns": (1.0, 1.0, 1.0, 0.0), "accuracy": 0.75, "accuracy_ci95": interval},
        language=words,
        beside={
            "controls": {
                "question_only": {"accuracy": 0.5, "accuracy_ci95": [0.4, 0.6], "exact": 0.5}
            },
            "baselines": {"ngram": {"accuracy": 0.25, "perplexity": 4.0}},
            "perplexity": 1.5,
        },
    )
    print_table([score.to_json()])
    printed = capsys.readouterr().out
    for line in (
        "text/vqa                            4       0.8",
        "  all                             75.0%     [25.0%, 100.0%]     75%        4",
        "  held-out combinations          100.0%    [100.0%, 100.0%]    100%        1",
        "  control: question only          50.0%      [40.0%, 60.0%]     50%",
        "  baseline: ngram                 25.0%                       perplexity 4.00",
        "  perplexity of the expert's words: 1.50",
        "  BLEU 100.0, chrF 100.0",
    ):
        assert line in printed, printed
    told = {"mean_return": 1.0, "ci95": [0.5, 1.5], "success_rate": 0.2, "ratio": 4.0}
    plain = replace(score, language=None, accuracy=None, beside={"controls": {"shuffled": told}})
    assert details(plain.to_json()) == [
        "control: shuffled: return 1.0 [0.5, 1.5], success 20%; with the right text 4.0 times that"
    ]
    assert details(replace(plain, beside={}).to_json()) == []


def test_a_video_of_words_can_be_read(run_json, tmp_path):
    out = tmp_path / "talk.mp4"
    run_json("record", "--task", TALK, "--agent", "expert", "--out", out)
    with av.open(str(out)) as video:
        assert float(video.streams.video[0].average_rate) == pytest.approx(READING_FPS)
