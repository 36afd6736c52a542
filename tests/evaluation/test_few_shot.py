"""A few-shot run at toy size: it learns, resumes exactly, and scores the curve by the protocol."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.data.collect import collect
from gato_gym.data.corpus import Corpus
from gato_gym.envs import task_spec
from gato_gym.errors import CorruptCheckpointError, GatoGymError
from gato_gym.evaluation import few_shot
from gato_gym.evaluation.few_shot import Evaluation, FewShotRun, demonstration, free_seed
from gato_gym.evaluation.rollout import rollout
from gato_gym.models.gato import Gato
from gato_gym.training.bundle import Bundle, load_bundle
from gato_gym.training.checkpoint import load_tensors
from gato_gym.training.finetune import FineTuneConfig
from gato_gym.training.progress import StepLog

TASK, KNOWN = "CartPole-v1", "MountainCar-v0"
CONFIG = FineTuneConfig(
    steps=8,
    batch=2,
    learning_rate=1e-2,
    evaluate_every=2,
    evaluate_episodes=2,
    smooth=2,
)
METHODS = {"full": {}, "lora": {"method": "lora", "rank": 2}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Episodes with seeds 0 to 5; of two equally good ones the noisy has the lower seed."""
    out = tmp_path_factory.mktemp("few") / "corpus"
    collect(TASK, out=out, episodes=2, seed=0, noise=0.3, episodes_per_shard=6)
    collect(TASK, out=out, episodes=4, seed=2, episodes_per_shard=6)
    return Corpus.open(out)


@pytest.fixture(scope="module")
def base():
    """An agent that knows another task."""
    torch.manual_seed(0)
    return Bundle(Gato(model_config("tiny")), {KNOWN: task_spec(KNOWN)})


def start(base, corpus, folder, episodes=3, draw=0, scratch=False, prompt=True, **changes):
    config = replace(CONFIG, **changes)
    return FewShotRun(
        base, corpus, TASK, episodes, draw, config, folder, scratch=scratch, prompt=prompt
    )


def weights(run):
    return {name: p.detach().numpy().tobytes() for name, p in run.trainer.model.named_parameters()}


def test_a_run_from_begin_to_end(base, corpus, tmp_path):
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    run = FewShotRun(base, corpus, TASK, 3, 0, CONFIG, tmp_path / "run", log_every=1)
    events = list(run.run())
    assert [e.step for e in events if isinstance(e, StepLog)] == list(range(1, 9))
    played = [event for event in events if isinstance(event, Evaluation)]
    assert played == run.curve and [p.step for p in played] == [0, 2, 4, 6, 8]
    assert run.finished
    # Every evaluation has its own seeds, none of them one of the data's.
    assert [p.seed for p in played] == [1_000_000 + 2 * i for i in range(5)]
    assert all(p.mean_return == np.mean(p.returns) and len(p.returns) == 2 for p in played)

    result = run.result()
    returns = [p.mean_return for p in played[1:]]
    means = [(a + b) / 2 for a, b in pairwise(returns)]
    best = int(np.argmax(means))
    assert result["score"] == max(means) and result["score_at_step"] == (4, 6, 8)[best]
    assert result["last"] == means[-1] and result["before"] == played[0].mean_return
    assert result["normalized"] == pytest.approx(
        (max(means) - result["random"]) / (result["expert"] - result["random"])
    )
    assert (result["task"], result["episodes"], result["draw"]) == (TASK, 3, 0)
    assert result["data"] | {"seeds": None} == {
        "available": 6,
        "best": 6,
        "drawn": 6,
        "protocol": [2000, 1000],
        "steps": sum(e.steps for e in run.chosen),
        "mean_return": np.mean([e.episode_return for e in run.chosen]),
        "seeds": None,
    }
    assert result["data"]["seeds"] == [entry.seed for entry in run.chosen]
    assert json.loads(json.dumps(result)) == result
    for name, value in base.model.state_dict().items():
        assert torch.equal(value, before[name])

    run.export(tmp_path / "agent")
    agent = load_bundle(tmp_path / "agent")
    assert set(agent.specs) == {KNOWN, TASK}
    assert agent.prompts[TASK].seed in result["data"]["seeds"]
    for name, value in agent.model.state_dict().items():
        assert torch.equal(value, run.trainer.model.state_dict()[name])
    # What played the best window's last evaluation is in RUN/best.
    copy = GatoAgent.from_pretrained(tmp_path / "run" / "best", device="cpu")
    again = rollout(few_shot.envs.make(TASK), copy, episodes=2, seed=played[best + 2].seed)
    assert tuple(r.episode_return for r in again) == played[best + 2].returns


@pytest.mark.parametrize("method", METHODS)
def test_resume_is_exact(base, corpus, tmp_path, method):
    straight = start(base, corpus, tmp_path / "a", **METHODS[method])
    list(straight.run())
    broken = start(base, corpus, tmp_path / "b", **METHODS[method])
    list(broken.run(stop=lambda: broken.trainer.step == 3))  # between two evaluations
    assert not broken.finished and broken.trainer.step == 3
    resumed = start(base, corpus, tmp_path / "b", **METHODS[method])
    assert resumed.trainer.step == broken.trainer.step
    list(resumed.run())
    assert resumed.curve == straight.curve
    assert weights(resumed) == weights(straight)
    assert (tmp_path / "a/curve.jsonl").read_text() == (tmp_path / "b/curve.jsonl").read_text()
    done = start(base, corpus, tmp_path / "b", **METHODS[method])
    assert done.finished and list(done.run()) == []
    assert done.result()["curve"] == straight.result()["curve"]


def test_stopped_while_it_plays_it_plays_that_evaluation_again(base, corpus, tmp_path):
    straight = start(base, corpus, tmp_path / "a")
    list(straight.run())
    asked = []
    broken = start(base, corpus, tmp_path / "b")

    def stop():
        asked.append(broken.trainer.step)
        return asked.count(2) > 1  # step 2 is played, and its first actions are taken

    list(broken.run(stop=stop))
    assert [point.step for point in broken.curve] == [0] and broken.trainer.step == 2
    resumed = start(base, corpus, tmp_path / "b")
    list(resumed.run())
    assert resumed.curve == straight.curve and weights(resumed) == weights(straight)


def test_lora_keeps_adapters_and_exports_a_plain_agent(base, corpus, tmp_path):
    run = start(base, corpus, tmp_path / "run", method="lora", rank=2)
    list(run.run())
    (saved,) = (tmp_path / "run/step-00000008").glob("*.safetensors")
    names = [name for name in load_tensors(saved) if name.startswith("model.")]
    assert names and all(".lora_" in name for name in names)
    result = run.result()
    assert 0 < result["trained_parameters"] < result["parameters"] / 10
    run.export(tmp_path / "agent")
    agent = load_bundle(tmp_path / "agent")
    assert agent.model.state_dict().keys() == base.model.state_dict().keys()
    changed = {
        name
        for name, value in agent.model.state_dict().items()
        if not torch.equal(value, base.model.state_dict()[name])
    }
    matrices = ("query", "key_value", "out", "up", "down")
    assert changed == {
        f"blocks.{layer}.{matrix}.weight" for layer in range(2) for matrix in matrices
    }


def test_another_run_is_refused_in_its_folder(base, corpus, tmp_path):
    start(base, corpus, tmp_path)
    start(base, corpus, tmp_path, steps=10, accumulate=2)
    torch.manual_seed(1)
    other = Bundle(Gato(model_config("tiny")), {})
    for changed, told in (
        ({"draw": 1}, "draw 0, not 1"),
        ({"episodes": 1}, "episodes 3, not 1"),
        ({"scratch": True}, "scratch False, not True"),
        ({"prompt": False}, "prompt True, not False"),
        ({"learning_rate": 1e-3, "smooth": 3}, "learning_rate 0.01, not 0.001, smooth 2, not 3"),
    ):
        with pytest.raises(GatoGymError, match=told):
            start(base, corpus, tmp_path, **changed)
    with pytest.raises(GatoGymError, match="base"):
        start(other, corpus, tmp_path)
    (tmp_path / "finetune.json").write_text("{")
    with pytest.raises(CorruptCheckpointError, match="finetune"):
        start(base, corpus, tmp_path)


def test_a_folder_with_something_else_is_left_alone(base, corpus, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="choose another --out"):
        start(base, corpus, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_an_evaluation_there_is_no_result(base, corpus, tmp_path):
    with pytest.raises(GatoGymError, match="no evaluation yet"):
        start(base, corpus, tmp_path).result()


def test_the_prompt_is_one_of_the_chosen_episodes_or_none(base, corpus, tmp_path):
    entries = corpus.episodes(TASK)
    noisy = [entry for entry in entries if entry.noise]
    assert demonstration(corpus, noisy) is None
    assert demonstration(corpus, entries).seed == 2  # all clean ones are equally good and long
    known = Bundle(
        base.model,
        base.specs | {TASK: task_spec(TASK)},
        {TASK: corpus.read(entries[-1])},
    )
    bare = start(known, corpus, tmp_path, prompt=False)
    assert TASK not in bare.agent().prompts
    assert bare.bundle().prompts[TASK].seed == entries[-1].seed  # the base's own is exported


def test_evaluation_seeds_avoid_the_datas(corpus):
    entries = corpus.episodes(TASK)
    assert free_seed(entries, 1_000_000) == 1_000_000
    assert free_seed(entries, 5) == 6 and free_seed(entries, 6) == 6
