"""Models that predict all numbers of an action at once: what they see, learn, keep and do."""

import json
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import main
from gato_gym.cli.plain_reference import PlainGato, plain_batch
from gato_gym.config import ModelConfig, TrainConfig, model_config
from gato_gym.data.corpus import Corpus
from gato_gym.data.mixture import Mixture
from gato_gym.data.windows import WindowSource
from gato_gym.envs import task_spec
from gato_gym.errors import TrainingError
from gato_gym.models.choice import deterministic
from gato_gym.models.decode import Decoder
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.timestep import ACTION_ROW, StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.adapt import prepare_model
from gato_gym.training.bundle import Bundle, load_bundle, save_bundle
from gato_gym.training.bundled import BUNDLED
from gato_gym.training.finetune import FineTuneConfig
from gato_gym.training.step import to_device
from gato_gym.training.trainer import Trainer
from gato_gym.types import Episode

TASK = "gato_gym/Signs-v0"
SHAPE = replace(model_config("tiny"), parallel_actions=True)
TRAIN = TrainConfig(steps=110, batch=8, learning_rate=6e-3, log_every=10, save_every=110)


class Signs(gymnasium.Env):
    """Observes four floats; the right action tells their signs, one number for each."""

    observation_space = spaces.Box(-2, 2, (4,), np.float32)
    action_space = spaces.MultiDiscrete([2, 2, 2, 2])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._seen = self._draw()
        return self._seen, {}

    def step(self, action):
        reward = float((action == (self._seen > 0)).mean())
        self._seen = self._draw()
        return self._seen, reward, False, False, {}

    def _draw(self):
        size = self.np_random.uniform(0.5, 2, 4) * self.np_random.choice([-1, 1], 4)
        return size.astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def registered():
    gymnasium.register(TASK, entry_point=Signs, max_episode_steps=30)
    yield
    del gymnasium.registry[TASK]


def played(seed: int, steps: int = 30) -> Episode:
    env = gymnasium.make(TASK)
    seen, actions = [env.reset(seed=seed)[0]], []
    for _ in range(steps):
        actions.append((seen[-1] > 0).astype(np.int64))
        seen.append(env.step(actions[-1])[0])
    observations = {"observation": np.stack(seen)}
    return Episode(TASK, observations, np.stack(actions), np.ones(steps), False, seed, "signs")


@pytest.fixture(scope="module")
def source(registered, tmp_path_factory):
    corpus = Corpus.create(tmp_path_factory.mktemp("parallel") / "corpus")
    corpus.append_shard([played(seed) for seed in range(40)])
    specs = {TASK: task_spec(gymnasium.make(TASK))}
    return WindowSource(corpus, Mixture(corpus), specs, SHAPE.context, Vocabulary(SHAPE.text_size))


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    """A trainer at its end, and its logs."""
    trainer = Trainer(SHAPE, TRAIN, source, tmp_path_factory.mktemp("parallel") / "run")
    return trainer, list(trainer.run())


@pytest.fixture
def agent(trained):
    return GatoAgent(trained[0].model, {TASK: task_spec(gymnasium.make(TASK))})


# What the network sees


def logits(model, inputs):
    with torch.inference_mode():
        return model(**inputs)


def with_actions(inputs, share=0.4, seed=0):
    """Some of the tokens that are no patches become action tokens."""
    chosen = torch.rand(inputs["ids"].shape, generator=torch.Generator().manual_seed(seed)) < share
    chosen &= inputs["ids"] >= 0
    local = inputs["local"].clamp(max=ACTION_ROW - 1).masked_fill(chosen, ACTION_ROW)
    return inputs | {"local": local}, chosen


def test_no_logit_depends_on_an_action_id(make_model, make_inputs):
    inputs, actions = with_actions(make_inputs(documents=2))
    parallel, usual = make_model(parallel_actions=True), make_model()
    before = {model: logits(model, inputs) for model in (parallel, usual)}
    places = actions.nonzero().tolist()
    assert len(places) > 10
    for row, column in places:
        ids = inputs["ids"].clone()
        ids[row, column] = (ids[row, column] + 700) % 2049
        changed = inputs | {"ids": ids}
        assert torch.equal(logits(parallel, changed), before[parallel])
        moved = (logits(usual, changed) - before[usual])[row].abs().amax(-1)
        assert (moved[:column] == 0).all() and moved[column] > 1e-3


def test_everything_else_still_counts(make_model, make_inputs):
    inputs, actions = with_actions(make_inputs())
    model = make_model(parallel_actions=True)
    before = logits(model, inputs)
    for row, column in ((~actions) & (inputs["ids"] >= 0)).nonzero().tolist():
        ids = inputs["ids"].clone()
        ids[row, column] = (ids[row, column] + 700) % 2049
        assert not torch.equal(
            logits(model, inputs | {"ids": ids})[row, column], before[row, column]
        )
    images = inputs | {"patches": 255 - inputs["patches"]}
    assert not torch.equal(logits(model, images), before)


def test_predictions_at_the_tokens_of_an_action_differ(make_model, make_inputs):
    """They hold the same vector; where they stand tells the numbers apart."""
    inputs, _ = with_actions(make_inputs(rows=1, patches=0), share=0.0)
    inputs["local"][0, 10:16] = ACTION_ROW
    model = make_model(parallel_actions=True)
    vectors = model.embedding(
        *(inputs[k] for k in ("ids", "local", "patches", "pixels", "positions"))
    )
    assert (vectors[0, 10:16] == model.embedding.local.weight[ACTION_ROW]).all()
    found = logits(model, inputs)[0, 10:16]
    assert torch.pdist(found).min() > 1e-2


def test_compiling_it_breaks_no_graph(make_model, make_inputs):
    inputs, _ = with_actions(make_inputs())
    model = make_model(parallel_actions=True)
    arguments = [inputs[k] for k in ("ids", "local", "patches", "pixels", "positions")]
    arguments.append((inputs["ids"] == -1).flatten().nonzero().squeeze(1))
    compiled = torch.compile(model.embedding, backend="eager", fullgraph=True)
    assert torch.equal(compiled(*arguments), model.embedding(*arguments))


def test_the_plain_loop_trains_the_same(source):
    torch.manual_seed(0)
    ours, plain = Gato(SHAPE).train(), PlainGato(SHAPE).train()
    plain.load_state_dict(ours.state_dict())
    rows = source.rows(range(4))
    mine = ours(**to_device(rows, torch.device("cpu"))).total / rows.target_count
    theirs = plain(plain_batch(rows))
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-5)
    mine.backward()
    theirs.backward()
    others = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        if "embedding.patches" in name or name in (
            "embedding.rows.weight",
            "embedding.columns.weight",
        ):
            continue  # no images
        torch.testing.assert_close(parameter.grad, others[name].grad, rtol=0, atol=1e-4, msg=name)


# Settings and files


def test_the_flag_is_written_only_where_it_is_set():
    assert "parallel_actions" not in model_config("tiny").to_json()
    assert SHAPE.to_json()["parallel_actions"] is True
    for config in (SHAPE, model_config("tiny")):
        assert ModelConfig(**json.loads(json.dumps(config.to_json()))) == config
    bundled = json.loads((BUNDLED / "config.json").read_text())
    assert ModelConfig(**bundled).to_json() == bundled
    assert not ModelConfig(**bundled).parallel_actions


def test_an_agents_folder_keeps_the_flag(tmp_path):
    folder = save_bundle(Bundle(Gato(SHAPE), {}), tmp_path / "agent")
    loaded = load_bundle(folder).model
    assert loaded.config == SHAPE and loaded.embedding.parallel_actions


@pytest.mark.parametrize("scratch", [False, True])
def test_fine_tuning_keeps_the_flag(scratch):
    model = prepare_model(Gato(SHAPE), FineTuneConfig(), scratch=scratch)
    assert model.config.parallel_actions and model.embedding.parallel_actions


# Training and acting


def test_it_learns_several_numbers(trained):
    _, logs = trained
    assert logs[0].accuracy[TASK] < 0.7
    assert logs[-1].accuracy[TASK] > 0.97


def test_it_resumes_and_only_with_the_flag(source, trained, tmp_path):
    config = replace(TRAIN, save_every=5, log_every=1)
    run = Trainer(SHAPE, config, source, tmp_path / "run").run()
    for _ in range(6):
        next(run)
    run.close()
    resumed = Trainer(SHAPE, config, source, tmp_path / "run")
    assert resumed.step == 5
    with pytest.raises(TrainingError, match="other model settings \\(parallel_actions\\)"):
        Trainer(model_config("tiny"), config, source, tmp_path / "run")


def test_from_the_command_line(source, tmp_path):
    """Trained, and fine-tuned from there, with all that is said of it."""
    corpus, run, tuned = source.corpus.path, tmp_path / "run", tmp_path / "tuned"
    size = ["--steps", "1", "--batch", "2", "--threads", "1"]
    train = ["train", "--corpus", str(corpus), "--out", str(run), "--size", "tiny", *size]
    assert main([*train, "--parallel-actions"]) == 0
    assert load_bundle(run / "agent").model.config == SHAPE
    card = json.loads((run / "agent/card.json").read_text())
    assert card["model"]["parallel_actions"] is True
    assert "--parallel-actions --threads 1" in card["command"]
    assert main(train) == 2  # it resumes with the flag only

    tune = ["finetune", "--task", TASK, "--corpus", str(corpus), "--out", str(tuned), *size]
    tune += ["--checkpoint", str(run / "agent"), "--episodes", "1", "--evaluate-every", "1"]
    assert main([*tune, "--evaluate-episodes", "1"]) == 0
    assert load_bundle(tuned / "agent").model.config.parallel_actions


def recomputed(model, tokenizer, sequences, actions):
    """(T, A) greedy ids, from a full pass over all steps with the real action ids in it."""
    ids = np.concatenate([[*s.ids, *a] for s, a in zip(sequences, actions, strict=True)])
    numbers = actions.shape[1]
    local = np.concatenate([[*s.local, *[ACTION_ROW] * numbers] for s in sequences])
    inputs = {
        "ids": torch.tensor(ids[None]),
        "local": torch.tensor(local[None]),
        "patches": torch.zeros(0, 16, 16, 3, dtype=torch.uint8),
        "pixels": torch.zeros(0, dtype=torch.long),
        "positions": torch.zeros(0, 2, dtype=torch.long),
        "first_visible": torch.zeros(1, len(ids), dtype=torch.long),
    }
    found = logits(model, inputs)[0].unflatten(0, (len(sequences), -1))
    low, high = tokenizer.legal_ids[0]
    legal = found[:, -1 - numbers : -1, low:high]
    ordered = tokenizer.spec.action.kind == "continuous"
    chosen = deterministic(legal.flatten(0, 1), [], ordered)
    return chosen.reshape(-1, numbers) + low


def test_one_pass_gives_the_numbers_that_a_full_recomputation_gives_one_by_one(agent):
    env = gymnasium.make(TASK)
    agent.reset(env)
    tokenizer = StepTokenizer(agent.specs[TASK], agent.vocabulary)
    steps = SHAPE.context // tokenizer.tokens_per_step
    obs, _ = env.reset(seed=100)
    sequences, actions, rewards = [], [], []
    for _ in range(steps):
        sequences.append(tokenizer.observe(obs, 0))
        actions.append(agent.act(obs))
        obs, reward, *_ = env.step(actions[-1])
        rewards.append(reward)
    ids = tokenizer.action_ids(np.array(actions))
    np.testing.assert_array_equal(ids, recomputed(agent.model, tokenizer, sequences, ids))
    assert np.mean(rewards) > 0.9


@pytest.fixture
def passes(monkeypatch):
    """The tokens of each pass over the network."""
    counted, run = [], Decoder.run

    def counting(self, cache, feed, *arguments, **options):
        counted.append(feed.counts.tolist())
        return run(self, cache, feed, *arguments, **options)

    monkeypatch.setattr(Decoder, "run", counting)
    return counted


def test_a_step_is_one_pass(agent, passes):
    env = gymnasium.make(TASK)
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    for _ in range(40):
        obs, *_ = env.step(agent.act(obs))
    # 4 floats, separator, 3 of the 4 numbers; the fourth comes with the next observation.
    assert passes == [[8]] + [[9]] * 39


def test_batches_and_prompts_act_like_single_episodes(agent, passes):
    prompt, env = played(500, steps=5), gymnasium.make(TASK)
    seen = [played(600 + i, steps=30).observations["observation"] for i in range(3)]
    agent.reset(env, prompt=prompt)
    expected = []
    for row in seen:
        agent.reset(env, prompt=prompt)
        expected.append([agent.act(obs) for obs in row])
    agent.reset(env, prompt=prompt)
    passes.clear()
    state, found = None, []
    for batch in zip(*seen, strict=True):
        actions, state = agent.predict(np.stack(batch), state=state)
        found.append(actions)
    np.testing.assert_array_equal(np.stack(found, axis=1), expected)
    assert len(passes) == 31 and all(len(counts) == 3 for counts in passes)


def test_tasks_of_different_sizes_play_in_one_batch(agent):
    """The car has fewer tokens in a step than the other task has numbers."""
    car = gymnasium.make("MountainCar-v0")
    specs = agent.specs | {"MountainCar-v0": task_spec("MountainCar-v0")}
    both = GatoAgent(agent.model, specs)
    signs = gymnasium.make(TASK)
    cars = [car.observation_space.sample() * 0.01 for _ in range(20)]
    rows = played(7, steps=19).observations["observation"]
    expected = []
    for env, observations in ((car, cars), (signs, rows)):
        both.reset(env)
        expected.append([np.asarray(both.act(obs)).tolist() for obs in observations])
    both.reset([car, signs])
    state, found = None, ([], [])
    for pair in zip(cars, rows, strict=True):
        actions, state = both.predict(list(pair), state=state)
        for row, action in zip(found, actions, strict=True):
            row.append(np.asarray(action).tolist())
    assert list(found) == expected
