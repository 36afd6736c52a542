"""GatoAgent: acting, prompts, batches, bad input."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
import torch

import gato_gym
from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.data.records import encode
from gato_gym.errors import (
    CorruptCheckpointError,
    InvalidObservationError,
    PromptError,
    UnknownTaskError,
    UnsupportedSpaceError,
)
from gato_gym.models.choice import deterministic
from gato_gym.models.gato import Gato
from gato_gym.models.stream import TokenStreams
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.types import Episode

TASKS = ("CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0")


def episode(task: str, steps: int = 5, seed: int = 0) -> Episode:
    env = envs.make(task)
    env.action_space.seed(seed)
    obs, _ = env.reset(seed=seed)
    seen, actions = [obs], []
    for _ in range(steps):
        actions.append(env.action_space.sample())
        seen.append(env.step(actions[-1])[0])
    env.close()
    if isinstance(obs, dict):
        observations = {key: np.stack([o[key] for o in seen]) for key in obs}
    else:
        observations = {"observation": np.stack(seen)}
    return Episode(task, observations, np.array(actions), np.zeros(steps), False, seed, "test")


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    model = Gato(model_config("tiny"))
    # Bigger weights than at the start of training, so that observations change the actions.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    specs = {task: envs.task_spec(task) for task in TASKS}
    return GatoAgent(model, specs, {"CartPole-v1": episode("CartPole-v1")})


def play(agent, env, steps, seed=0, **reset):
    agent.reset(env, **reset)
    obs, _ = env.reset(seed=seed)
    actions = []
    for _ in range(steps):
        actions.append(agent.act(obs))
        obs, _, terminated, truncated, _ = env.step(actions[-1])
        if terminated or truncated:
            break
    return actions


@pytest.mark.parametrize("task", TASKS)
def test_raw_and_tokenized_observations_give_the_same_legal_actions(agent, task):
    raw, tokenized = gato_gym.make(task, tokenize=False), gato_gym.make(task)
    first, second = play(agent, raw, 12), play(agent, tokenized, 12)
    assert all(raw.action_space.contains(action) for action in first)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("task", TASKS[:2])
def test_a_plain_gymnasium_environment_gives_the_same_actions(agent, task):
    np.testing.assert_array_equal(
        play(agent, gymnasium.make(task), 10), play(agent, gato_gym.make(task), 10)
    )


def test_an_environment_never_seen_gets_legal_actions_in_its_own_bounds(agent):
    env = gymnasium.make("Pendulum-v1")
    actions = play(agent, env, 5)
    assert all(env.action_space.contains(action) for action in actions)
    scaled = play(agent, gato_gym.make("Pendulum-v1"), 5)
    np.testing.assert_allclose(actions[0], 2 * scaled[0], rtol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_batched_predictions_equal_acting_alone(agent, task):
    rows, steps = 3, 14
    alone = []
    for row in range(rows):
        alone.append(play(agent, gato_gym.make(task), steps, seed=row))
    env = gato_gym.make_vec(task, rows)
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    state, start = None, np.ones(rows, bool)
    for step in range(min(map(len, alone))):
        actions, state = agent.predict(obs, state, start)
        np.testing.assert_array_equal(actions, np.stack([a[step] for a in alone]))
        obs, _, terminated, truncated, _ = env.step(actions)
        start = terminated | truncated
    env.close()


def test_several_tasks_in_one_batch_are_each_played_as_if_alone(agent):
    tasks, steps = [*TASKS, "Pendulum-v1"], 10
    alone = {task: play(agent, gymnasium.make(task), steps) for task in tasks}
    made = [gymnasium.make(task) for task in tasks]
    agent.reset(made)
    observations, state = [env.reset(seed=0)[0] for env in made], None
    for step in range(2 * steps):
        # Every other row waits, in turn, and who has come to an end for good.
        rows = [row for row in range(len(tasks)) if row % 2 == step % 2]
        rows = [row for row in rows if step // 2 < len(alone[tasks[row]])]
        given = [obs if row in rows else None for row, obs in enumerate(observations)]
        actions, state = agent.predict(given, state)
        assert [action is not None for action in actions] == [g is not None for g in given]
        for row in rows:
            np.testing.assert_array_equal(actions[row], alone[tasks[row]][step // 2])
            observations[row] = made[row].step(actions[row])[0]
    with pytest.raises(RuntimeError, match=r"use agent\.predict"):
        agent.act(observations[0])
    with pytest.raises(ValueError, match="reset for 4 tasks, observations are of 3"):
        agent.predict(observations[:3], state)


def test_explaining_an_observation_leaves_the_episode_where_it_is(agent):
    env = gymnasium.make("CartPole-v1")
    expected = play(agent, env, 12)
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    for action in expected:
        seen = agent.explain(obs)
        assert (seen.action, agent.explain(obs).action, agent.act(obs)) == (action,) * 3
        obs = env.step(action)[0]


def test_changed_weights_count_from_the_next_reset_on(agent):
    """Also where PyTorch does not say that they have changed."""
    twin, env = copy.deepcopy(agent), gymnasium.make("CartPole-v1")
    play(twin, env, 3)
    obs = np.full(4, 0.1, np.float32)

    def change():
        parameters = list(twin.model.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=0.3, fused=True)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()

    def halve():
        for parameter in twin.model.parameters():
            parameter.data.mul_(0.5)

    for changed in (change, halve):
        changed()
        fresh = GatoAgent(copy.deepcopy(twin.model), twin.specs, twin.prompts)
        seen = []
        for one in (twin, fresh):
            one.reset(env)
            seen.append(one.explain(obs).numbers[0].probabilities)
        np.testing.assert_allclose(*seen, atol=1e-6)


def test_a_state_of_other_weights_is_refused(agent):
    other = copy.deepcopy(agent)
    with torch.no_grad():
        other.model.norm.weight.mul_(1.5)
    obs = np.zeros((2, 4), np.float32)
    for one in (agent, other):
        one.reset("CartPole-v1")
    _, state = agent.predict(obs)
    with pytest.raises(ValueError, match="made with other weights: pass state=None"):
        other.predict(obs, state)


def test_a_temperature_must_be_positive(agent):
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="must be positive"):
            agent.temperature = value


def test_stable_baselines3_evaluates_it_unchanged(agent):
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    env = vec_env.DummyVecEnv([lambda: envs.make("CartPole-v1")] * 2)
    agent.reset("CartPole-v1")
    mean, _ = evaluation.evaluate_policy(agent, env, n_eval_episodes=3, warn=False)
    assert 1 <= mean <= 500


def test_sampling_never_leaves_the_legal_ids_and_varies(agent):
    env = gato_gym.make("gato_gym/BlockStacking-v0")
    agent.reset(env)
    obs, _ = env.reset(seed=0)
    actions = [agent.act(obs, deterministic=False) for _ in range(10)]
    assert all(env.action_space.contains(action) for action in actions)
    assert len({action.tobytes() for action in actions}) > 5


def test_the_prompt_is_read_and_its_absence_too(agent, tmp_path):
    def first_logits(prompt):
        agent.reset("CartPole-v1", prompt=prompt)
        seen = []

        def choose(logits, rows, ordered):
            seen.append(logits)
            return deterministic(logits, rows, ordered)

        role = agent._roles[0]
        streams = TokenStreams(agent.decoder, [role.tokenizer])
        streams.restart(0, agent._demonstrations.of(role))
        streams.decide([role.read(np.zeros(4, np.float32), 0)], choose)
        return seen[0][0]

    expert = first_logits("expert")
    stored = tmp_path / "prompt.episode"
    stored.write_bytes(encode(episode("CartPole-v1")))
    torch.testing.assert_close(expert, first_logits(stored), atol=0, rtol=0)
    for other in (None, episode("CartPole-v1", steps=1), episode("CartPole-v1", steps=2, seed=3)):
        assert not torch.allclose(expert, first_logits(other), atol=1e-4)


def test_a_long_prompt_is_cut_to_whole_steps_that_fit(agent):
    long = episode("CartPole-v1", steps=9)
    agent.reset("gato_gym/BlockStacking-v0", prompt=episode("gato_gym/BlockStacking-v0", steps=40))
    agent.act(
        {key: value[0] for key, value in episode("gato_gym/BlockStacking-v0").observations.items()}
    )
    agent.reset("CartPole-v1", prompt=long)
    read = agent._demonstrations.of(agent._roles[0])
    assert 0 < read.rows[0].window.length <= agent.config.context // 2


def test_a_prompt_of_another_task_is_refused(agent):
    with pytest.raises(PromptError, match="shows CartPole-v1, the task is ALE/Boxing-v5"):
        agent.reset("ALE/Boxing-v5", prompt=episode("CartPole-v1"))


def test_a_prompt_that_is_not_there_is_refused(agent):
    with pytest.raises(PromptError, match="no prompt at"):
        agent.reset("CartPole-v1", prompt="nowhere.episode")


def test_an_unknown_task_names_the_nearest(agent):
    with pytest.raises(UnknownTaskError, match="CartPole-v1"):
        agent.reset("CartPol-v1")


def test_a_nan_names_task_key_and_step(agent):
    agent.reset("CartPole-v1")
    agent.act(np.zeros(4, np.float32))
    with pytest.raises(InvalidObservationError, match=r"CartPole-v1: 'observation' at step 1"):
        agent.act(np.array([0, np.nan, 0, 0], np.float32))


def test_a_wrong_image_size_is_refused(agent):
    with pytest.raises(InvalidObservationError, match="trained on"):
        agent.reset(gato_gym.make("ALE/Boxing-v5", image_size=(32, 32)))
    agent.reset("ALE/Boxing-v5")
    with pytest.raises(InvalidObservationError, match="uint8"):
        agent.act(np.zeros((64, 80, 3), np.float32))


def test_another_vocabulary_is_refused(agent):
    env = gato_gym.make("CartPole-v1", vocabulary=Vocabulary(32_000))
    with pytest.raises(InvalidObservationError, match=r"vocabulary=agent\.vocabulary"):
        agent.reset(env)


def test_acting_before_reset_says_what_to_do(agent):
    fresh = GatoAgent(agent.model, agent.specs)
    with pytest.raises(RuntimeError, match=r"agent\.reset"):
        fresh.act(np.zeros(4, np.float32))


def test_copies_and_pickles_act_alike(agent):
    reference = play(agent, gato_gym.make("CartPole-v1"), 8)
    for twin in (copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        np.testing.assert_array_equal(play(twin, gato_gym.make("CartPole-v1"), 8), reference)


def test_a_saved_agent_acts_alike(agent, tmp_path):
    agent.save_pretrained(tmp_path / "agent")
    loaded = GatoAgent.from_pretrained(tmp_path / "agent", device="cpu")
    for task in TASKS:
        np.testing.assert_array_equal(
            play(loaded, gato_gym.make(task), 6), play(agent, gato_gym.make(task), 6)
        )
    assert loaded.specs == agent.specs


def test_nothing_on_the_load_path_unpickles(agent, tmp_path, monkeypatch):
    agent.save_pretrained(tmp_path / "agent")

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    for name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    GatoAgent.from_pretrained(tmp_path / "agent")


def test_a_folder_that_is_no_agent_is_refused(tmp_path):
    with pytest.raises(CorruptCheckpointError, match="does not exist"):
        GatoAgent.from_pretrained(tmp_path / "nowhere" / "deep")
    with pytest.raises(CorruptCheckpointError, match="manifest"):
        GatoAgent.from_pretrained(tmp_path)


def test_a_hub_id_is_downloaded_at_its_revision(agent, tmp_path, monkeypatch):
    agent.save_pretrained(tmp_path / "agent")
    asked = {}
    # The Hub's cache: a snapshot of links into a folder of blobs.
    (tmp_path / "blobs").mkdir()
    snapshot = tmp_path / "snapshots" / "abc"
    for path in [p for p in (tmp_path / "agent").rglob("*") if p.is_file()]:
        link = snapshot / path.relative_to(tmp_path / "agent")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.rename(tmp_path / "blobs" / f"{path.parent.name}-{path.name}"))

    def download(repo_id, *, revision, **kwargs):
        asked.update(repo_id=repo_id, revision=revision)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    loaded = GatoAgent.from_pretrained("someone/gato", revision="abc")
    assert asked == {"repo_id": "someone/gato", "revision": "abc"}
    assert loaded.checkpoint == "someone/gato"


def test_a_hub_that_cannot_be_reached_says_so(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(CorruptCheckpointError, match="neither a folder here nor a model"):
        GatoAgent.from_pretrained("runs-local/agent")


def test_a_device_that_is_not_there_is_refused():
    for device, fix in (("cuda", "use cpu"), ("foo", "use cpu or cuda"), ("meta", "cpu or cuda")):
        if device == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(ValueError, match=fix):
            GatoAgent.from_pretrained(device=device)


def test_a_failed_reset_leaves_no_mixture_of_two_tasks(agent):
    agent.reset("CartPole-v1")
    agent.act(np.zeros(4, np.float32))
    with pytest.raises(PromptError):
        agent.reset("ALE/Boxing-v5", prompt=episode("CartPole-v1"))
    with pytest.raises(RuntimeError, match=r"agent\.reset"):
        agent.act(np.zeros(4, np.float32))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((210, 160, 1), np.uint8),
        np.zeros((2, 210, 160), np.uint8),
        np.full((210, 160, 3), np.nan, np.float32),
        np.zeros((5, 5, 3), np.uint8),
    ],
)
def test_an_image_that_is_none_of_the_task_is_refused(agent, image):
    agent.reset("ALE/Boxing-v5")
    with pytest.raises(InvalidObservationError, match=r"ALE/Boxing-v5: 'observation' at step 0"):
        agent.act(image)


def test_an_observation_larger_than_the_context_is_refused_at_reset(agent):
    with pytest.raises(UnsupportedSpaceError, match="larger context"):
        agent.reset(gato_gym.make("ALE/Pong-v5", image_size=(128, 256)))
