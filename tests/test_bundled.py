"""The bundled weights play, follow instructions and speak, and fit into the repository."""

import json

import pytest

from gato_gym import GatoAgent, envs
from gato_gym.errors import CorruptCheckpointError
from gato_gym.evaluation.rollout import rollout
from gato_gym.training.bundled import BUNDLED

# Far below the scorecard's figures, far above what random play reaches: few episodes are played.
FLOORS = {
    "CartPole-v1": (3, 400.0),
    "ALE/Boxing-v5": (1, 25.0),
    # It succeeds in 19 of 20 episodes, from pictures in two of three, and never by chance.
    "gato_gym/BlockStacking-v0": (4, 10.0),
    "gato_gym/BlockStacking-pixels-v0": (6, 3.0),
    "gato_gym/BabyAI-PickupDist-pixels-v0": (8, 0.4),
    "Meta-World/door-open-v3": (2, 2500.0),
    "dm_control/cheetah-run-v0": (1, 200.0),
    # Five pictures, or three to six turns; one point each.
    "text/captioning": (6, 2.5),
    "text/vqa": (6, 2.5),
    "text/dialogue": (6, 1.2),
}
LIMIT_BYTES = 24 * 1024 * 1024


@pytest.fixture(scope="module")
def agent():
    return GatoAgent.from_pretrained()


def test_it_has_a_name_unless_a_folder_has_it(agent, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = GatoAgent.from_pretrained("bundled")
    assert (named.checkpoint, named.specs) == ("bundled", agent.specs)
    (tmp_path / "bundled").mkdir()
    with pytest.raises(CorruptCheckpointError, match="bundled"):
        GatoAgent.from_pretrained("bundled")


def test_one_checkpoint_knows_all_tasks(agent):
    assert set(agent.specs) <= {spec.id for spec in envs.tasks()}
    assert len(agent.specs) >= 120 and len({spec.domain for spec in agent.specs.values()}) >= 7
    assert set(agent.prompts) == set(agent.specs)
    assert agent.checkpoint == "bundled"
    assert agent.text is not None


def test_it_is_small_and_comes_with_its_papers():
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) <= LIMIT_BYTES
    for name in ("README.md", "card.json", "scorecard.json", "text.model"):
        assert (BUNDLED / name).stat().st_size > 100, name


@pytest.mark.parametrize("task", FLOORS)
def test_it_plays(agent, task):
    episodes, floor = FLOORS[task]
    env = envs.make(task)
    results = rollout(env, agent, episodes=episodes, seed=8000)
    env.close()
    assert sum(result.episode_return for result in results) / episodes >= floor, results


def test_specs_carry_the_catalogue(agent):
    for task, spec in agent.specs.items():
        assert spec == envs.task_spec(task)


def test_the_manifest_covers_every_file():
    listed = set(json.loads((BUNDLED / "manifest.json").read_text()))
    present = {p.relative_to(BUNDLED).as_posix() for p in BUNDLED.rglob("*") if p.is_file()}
    assert listed == present - {"manifest.json", "scorecard.json", "README.md"}
