"""The model card: what the Hub reads of it, what people read, and what of their own text stays."""

import json

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from gato_gym.config import model_config
from gato_gym.evaluation.aggregate import aggregate_scores
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.text import TextTokenizer
from gato_gym.training.bundle import Bundle, load_bundle
from gato_gym.training.bundled import BUNDLED
from gato_gym.training.card_scores import MANY_TASKS
from gato_gym.training.model_card import MARK, complete_card, metadata, model_card
from gato_gym.training.publish import save_with_card
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec


def spec(task, kind="continuous"):
    shape = () if kind == "text" else (2,)
    leaf = ObservationSpec("observation", kind, shape)
    return TaskSpec(task, "classic", "test", (leaf,), ActionSpec("discrete", 1, (3,)))


def bundle(*specs, **documents):
    torch.manual_seed(0)
    named = {name.replace("_", "."): json.dumps(told) for name, told in documents.items()}
    return Bundle(Gato(model_config("tiny")), {one.id: one for one in specs}, {}, None, named)


def score(task, mean=1.0, **rest):
    return {"task": task, "mean_return": mean, "episodes": 50, "seed": 7000, **rest}


@pytest.fixture(scope="module")
def bundled():
    return load_bundle(BUNDLED)


def test_the_hub_reads_the_scorecard(bundled):
    data = ModelCard(model_card(bundled, "me/gato")).data
    assert (data.license, data.library_name) == ("apache-2.0", "gato-gym")
    assert data.pipeline_tag == "reinforcement-learning" and data.model_name == "gato"
    assert {"gymnasium", "atari", "classic", "manipulation"} <= set(data.tags)
    told = json.loads((BUNDLED / "scorecard.json").read_text())
    domains = {**told["domains"], "all": told["overall"]}
    assert {one.dataset_name: one.metric_value for one in data.eval_results} == {
        domain: pytest.approx(summary["iqm"], abs=1e-4) for domain, summary in domains.items()
    }
    everything = data.eval_results[-1]
    assert everything.metric_type == "expert_normalized_iqm"
    assert everything.metric_args == {
        "iqm_ci95": told["overall"]["iqm_ci95"],
        "count": len(told["tasks"]),
    }


def test_the_hub_reads_each_of_few_tasks(bundled):
    told = json.loads((BUNDLED / "scorecard.json").read_text())
    rows = [row for row in told["tasks"] if "accuracy" not in row][:MANY_TASKS]
    few = bundle(*(bundled.specs[row["task"]] for row in rows), scorecard_json={"tasks": rows})
    data = ModelCard(model_card(few, "me/gato")).data
    found = {(one.dataset_name, one.metric_type): one for one in data.eval_results}
    for row in rows:
        reward = found[row["task"], "mean_reward"]
        assert reward.task_type == "reinforcement-learning"
        assert reward.metric_value == pytest.approx(row["mean_return"], abs=1e-4)
        assert reward.metric_args == {key: row[key] for key in ("ci95", "episodes", "seed")}
        normalized = found[row["task"], "expert_normalized_score"]
        assert normalized.metric_value == pytest.approx(row["normalized"], abs=1e-4)
    successes = [row["task"] for row in rows if row["success_rate"] is not None]
    assert [t for t, metric in found if metric == "success_rate"] == successes


def test_a_damaged_summary_of_domains_is_told(bundled):
    told = json.loads((BUNDLED / "scorecard.json").read_text())
    atari = told["domains"]["atari"]
    for wrong in (1, {"count": 1}, atari | {"iqm": "much"}, atari | {"iqm_ci95": [0.1]}):
        for broken in ({"domains": {"atari": wrong}}, {"overall": wrong}, {"domains": [wrong]}):
            with pytest.raises(ValueError, match="measure again"):
                model_card(bundle(spec("a"), scorecard_json=told | broken), "mine")


def test_domains_without_a_normalised_score_are_not_told():
    unscored = aggregate_scores([], {})["overall"]
    told = {"tasks": [score("a/A-v0", 3.5)], "domains": {"mine": unscored}, "overall": unscored}
    text = model_card(bundle(spec("a/A-v0"), scorecard_json=told), "mine")
    assert "| `a/A-v0` | 50 | 3.5 |" in text and "| domain |" not in text
    (found,) = ModelCard(text).data.eval_results
    assert (found.dataset_name, found.metric_value) == ("a/A-v0", 3.5)


def test_people_read_what_the_files_say(bundled):
    card = json.loads((BUNDLED / "card.json").read_text())
    text = model_card(bundled, "me/gato", "replay.png")
    rows = json.loads((BUNDLED / "scorecard.json").read_text())["tasks"]
    boxing = next(row for row in rows if row["task"] == "ALE/Boxing-v5")
    low, high = boxing["ci95"]
    parameters = sum(p.numel() for p in bundled.model.parameters())
    pole, shown = (card[about]["CartPole-v1"] for about in ("data", "prompts"))
    for part in (
        f"{parameters:,} weights, trained on {len(bundled.specs)} tasks",
        'from_pretrained("me/gato")',
        "![It at play](replay.png)",
        f"| `ALE/Boxing-v5` | {boxing['episodes']} | {boxing['mean_return']:.1f} [{low:.1f}, "
        f"{high:.1f}] | -0.1 |",
        f"| {pole['episodes']} | {pole['steps']:,} | {pole['tokens']:,} | "
        f"{card['curve'][-1]['losses']['CartPole-v1']} | sb3/CartPole-v1, noise 0",
        f", seeds {pole['parts'][0]['seeds'][0]}",
        f"| **all** | {len(rows)} | ",
        card["command"],
        card["note"],
        f"| `CartPole-v1` | 500 | 500.0 | sb3/CartPole-v1 | {shown['seed']} |",
        "It sees 308 tokens at once. Steps of an episode that it remembers:\n  1 to ",
        "The same weights speak",
    ):
        assert part in text, part


def test_episodes_that_an_agent_played_are_told():
    part = {"expert": "sb3/A", "noise": 0.0, "seeds": [3, 4]}
    data = {"share": 1.0, "episodes": 2, "steps": 9, "tokens": 90}

    def text(**how):
        card = {"data": {"a/A-v0": data | {"parts": [part | how]}}}
        return model_card(bundle(spec("a/A-v0"), card_json=card), "mine")

    assert "sb3/A, noise 0, seeds 3 to 4" in text() and "an agent played" not in text()
    led = text(learner="1c4aaffc")
    assert "sb3/A, played by 1c4aaffc, seeds 3 to 4" in led and "Where an agent played" in led
    half = text(learner="1c4aaffc", noise=0.4)
    assert "sb3/A, played by 1c4aaffc on 0.4 of the steps, seeds 3 to 4" in half


def test_core_hours_are_of_the_whole_chain_and_told_where_known():
    def card(seconds, machine, **more):
        run = {"steps": 5, "tokens": 10, "seconds": seconds, "machine": machine, "curve": []}
        return run | more

    def told(first, second):
        chain = card(3600, second, start={"card": card(1800, first)})
        return model_card(bundle(spec("a/A-v0"), card_json=chain), "mine")

    text = told("8 x Some CPU, 1 threads", "8 x Some CPU, 4 threads")
    assert "60 minutes on 8 x Some CPU, 4 threads, 4.0 core-hours." in text
    assert "20 tokens, 1.5 hours of training, 4.5 core-hours." in text
    text = told("a GPU", "8 x Some CPU, 4 threads")
    assert "4.0 core-hours" in text and "1.5 hours of training." in text


def test_its_lines_of_code_run(bundled, tmp_path, monkeypatch):
    save_with_card(bundled, tmp_path / "agent")
    text = model_card(bundled, str(tmp_path / "agent"))
    code = text.split("```python\n")[1].split("```")[0].replace("ALE/Boxing-v5", "CartPole-v1")
    names = {}
    exec(code, names)
    obs, _ = names["env"].reset(seed=0)
    assert names["env"].action_space.contains(names["agent"].act(obs))


def words(task, *kinds):
    sides = {"image": (16, 16, 3), "text": ()}
    leaves = tuple(ObservationSpec(kind, kind, sides[kind]) for kind in kinds)
    return TaskSpec(task, "text", "test", leaves, ActionSpec("text", 8))


def test_what_is_said_is_scored_by_its_accuracy():
    scores = [
        score("see", 4.0, accuracy=0.81234, accuracy_ci95=[0.7, 0.9], exact=0.5, ci95=[3.5, 4.5]),
        score("ask", 4.0, accuracy=0.75, perplexity=1.5),
        score("talk", 2.0, accuracy=0.5, normalized=0.4),
        score("a/A-v0", 3.5),
    ]
    specs = [words("see", "image"), words("ask", "image", "text"), words("talk", "text")]
    told = bundle(*specs, spec("a/A-v0"), scorecard_json={"tasks": scores})
    told.text = TextTokenizer.train(["the arm stacks the red block"] * 5, 512)
    text = model_card(told, "mine")
    found = {
        (one.dataset_name, one.metric_type): (one.task_type, one.metric_value)
        for one in ModelCard(text).data.eval_results
    }
    assert found == {
        ("see", "accuracy"): ("image-to-text", 0.8123),
        ("see", "exact_match"): ("image-to-text", 0.5),
        ("ask", "accuracy"): ("visual-question-answering", 0.75),
        ("ask", "perplexity"): ("visual-question-answering", 1.5),
        ("talk", "accuracy"): ("text-generation", 0.5),
        ("a/A-v0", "mean_reward"): ("reinforcement-learning", 3.5),
    }
    (accuracy,) = [one for one in ModelCard(text).data.eval_results if one.metric_value == 0.8123]
    assert accuracy.metric_args == {"accuracy_ci95": [0.7, 0.9], "episodes": 50, "seed": 7000}
    assert "| `see` | 81.2% [70.0%, 90.0%] | 50% |  |" in text
    assert "| `ask` | 75.0% |  | 1.50 |" in text
    assert "| `see` | 50 | 4.0 [3.5, 4.5] |" in text
    assert "`agent.caption(image)` describes a picture; `agent.answer(image, question)`" in text
    silent = model_card(bundle(spec("a/A-v0"), scorecard_json=score("a/A-v0")), "mine")
    assert "accuracy" not in silent and "agent.caption" not in silent


def test_without_documents_it_says_what_is_not_known():
    text = model_card(bundle(spec("a/A-v0"), spec("b/B-v0", "text")), "mine")
    data = ModelCard(text).data
    assert data.eval_results is None and data.pipeline_tag == "reinforcement-learning"
    assert "Not measured yet: `gato-gym eval --checkpoint mine --all --out scorecard.json`" in text
    assert "Trained on, but not measured: `a/A-v0`, `b/B-v0`." in text
    for section in ("## Data", "## Training", "## Prompts"):
        assert section not in text
    assert "trained on 0 tasks" in model_card(bundle(), "mine")


def test_limits_name_what_is_weak_and_what_is_not_measured():
    scores = {"tasks": [score("a/A-v0", normalized=0.2), score("b/B-v0", normalized=0.0)]}
    told = bundle(spec("a/A-v0"), spec("b/B-v0"), spec("c/C-v0"), scorecard_json=scores)
    text = model_card(told, "mine")
    assert "Less than half of the way from random play to the expert: `a/A-v0`, `b/B-v0`." in text
    assert "not measured: `c/C-v0`." in text
    told.text = TextTokenizer.train(["the arm stacks the red block"] * 5, 512)
    assert "no text model" not in model_card(told, "mine")


def test_one_task_alone_and_a_fine_tuned_agent():
    finetune = {
        "task": "a/A-v0",
        "episodes": 10,
        "steps": 5000,
        "base": "bundled",
        "command": "gato-gym finetune --task a/A-v0",
    }
    told = bundle(
        spec("a/A-v0"), scorecard_json=score("a/A-v0", 3.5), card_json={"finetune": finetune}
    )
    text = model_card(told, "mine")
    assert "| `a/A-v0` | 50 | 3.5 |  |  |  |  |" in text
    assert "Adapted to `a/A-v0` with 10 of its episodes for 5,000 steps, starting from" in text
    assert "gato-gym finetune --task a/A-v0" in text


def test_a_table_holds_whatever_a_file_says():
    told = bundle(spec("a/A-v0"), scorecard_json=score("evil|task\n\n# Title"))
    assert "| `evil\\|task # Title` |" in model_card(told, "mine")


@pytest.mark.parametrize(
    "scores",
    [
        {"tasks": 1},
        {"tasks": [1]},
        {"tasks": [{"task": "a"}]},
        {"task": "a", "mean_return": "high"},
        score("a", ci95=[1]),
        score("a", ci95=["x", 1]),
        score("a", normalized="0.5"),
        score("a", accuracy="0.5"),
        score("a", accuracy=0.5, accuracy_ci95=[0.4]),
        score("a", mean=float("nan")),
        score("a", normalized=float("inf")),
    ],
)
def test_a_scorecard_that_is_none_is_an_error(scores):
    with pytest.raises(ValueError, match=r"scorecard\.json is not"):
        model_card(bundle(spec("a"), scorecard_json=scores), "mine")


@pytest.mark.parametrize(
    "card", [{"data": 1}, {"data": {"a": {}}}, {"finetune": {}}, {"steps": "x", "curve": []}]
)
def test_a_run_card_that_is_none_is_an_error(card):
    with pytest.raises(ValueError, match=r"card\.json is not one that gato-gym train or finetune"):
        model_card(bundle(spec("a"), card_json=card), "mine")


def test_our_card_follows_the_scores_and_a_persons_card_stays(tmp_path):
    told = bundle(spec("a/A-v0"))
    folder = save_with_card(told, tmp_path / "agent")
    loaded = load_bundle(folder)
    assert MARK in loaded.documents["README.md"] and "Not measured" in loaded.documents["README.md"]
    loaded.documents["scorecard.json"] = json.dumps(score("a/A-v0", 3.5))
    again = load_bundle(save_with_card(loaded, folder)).documents
    assert "| `a/A-v0` | 50 | 3.5 |" in again["README.md"]
    loaded.documents["README.md"] = "my own words\n"
    again = load_bundle(save_with_card(loaded, folder)).documents
    assert again["README.md"] == "my own words\n"


def test_a_persons_card_gets_the_metadata_that_it_lacks():
    told = bundle(spec("a/A-v0"), scorecard_json=score("a/A-v0", 3.5, normalized=0.5))
    plain = complete_card("# Mine\n\ntext\n", told, "me/gato")
    assert ModelCard(plain).data.to_dict() == metadata(told, "me/gato").to_dict()
    assert plain.endswith("---\n# Mine\n\ntext\n")
    theirs = "---\nlicense: mit\ntags: [mine]\nextra: 1\n---\n\n# Mine   \r\ntext\n"
    card = ModelCard(complete_card(theirs, told, "me/gato"))
    assert (card.data.license, card.data.tags, card.data["extra"]) == ("mit", ["mine"], 1)
    assert card.data.pipeline_tag == "reinforcement-learning"
    assert card.text == ModelCard(theirs).text
    assert {one.metric_value for one in card.data.eval_results} == {3.5, 0.5}


def test_new_scores_replace_old_ones_of_the_same_task_only():
    old = bundle(spec("a"), scorecard_json={"tasks": [score("a", 1.0), score("b", 2.0)]})
    new = bundle(spec("a"), scorecard_json={"tasks": [score("a", 9.0)]})
    card = complete_card(complete_card("# Mine\n", old, "me/gato"), new, "me/gato")
    found = {one.dataset_name: one.metric_value for one in ModelCard(card).data.eval_results}
    assert found == {"a": 9.0, "b": 2.0}


def test_domains_replace_the_results_of_their_tasks(bundled):
    task = next(iter(bundled.specs))
    few = bundle(bundled.specs[task], scorecard_json={"tasks": [score(task, 1.0)]})
    card = complete_card(complete_card("# Mine\n", few, "me/gato"), bundled, "me/gato")
    found = {one.dataset_name for one in ModelCard(card).data.eval_results}
    assert task not in found and {"atari", "all"} <= found


def test_a_card_with_broken_metadata_is_an_error():
    for front in ("tags: [a", "- a list", "model-index: 1"):
        with pytest.raises(ValueError, match=r"front matter of README\.md is not YAML"):
            complete_card(f"---\n{front}\n---\ntext", bundle(spec("a")), "me/gato")


def test_prompts_are_listed_with_their_expert():
    told = bundle(spec("a"))
    told.prompts["a"] = Episode(
        task="a",
        observations={"observation": np.zeros((3, 2), np.float32)},
        actions=np.array([0, 2]),
        rewards=np.array([1.0, 1.5]),
        terminated=True,
        seed=4,
        expert="scripted/me",
    )
    assert "| `a` | 2 | 2.5 | scripted/me | 4 |" in model_card(told, "mine")
    # Of a long one only the beginning is in the folder, the card knows the whole.
    for seed, row in ((4, "300 | 99.0"), (5, "2 | 2.5")):
        card = {"prompts": {"a": {"seed": seed, "steps": 300, "return": 99.0}}}
        told.documents["card.json"] = json.dumps(card)
        assert f"| `a` | {row} | scripted/me | 4 |" in model_card(told, "mine")
    told.documents["card.json"] = '{"prompts": [1]}'
    with pytest.raises(ValueError, match=r"card\.json is not one that gato-gym train"):
        model_card(told, "mine")
