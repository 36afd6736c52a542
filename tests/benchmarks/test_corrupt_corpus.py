"""200 random damages of a corpus, by the benchmark; and that the benchmark sees a silent one."""

import importlib
import json
from pathlib import Path
from random import Random

import pytest

from gato_gym.data import manifest
from gato_gym.data.corpus import Corpus

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("corrupt_corpus")


def test_200_trials_without_a_silent_one(script, tmp_path):
    out = tmp_path / "result.json"
    assert script.main(["--trials", "200", "--seed", "1", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result["trials"], result["silent"]) == (200, 0)
    assert result["raised"] == result["harmful"] > 100
    assert result["harmless"] == 200 - result["harmful"]


@pytest.fixture(scope="module")
def trials(script, tmp_path_factory):
    return script.Trials(tmp_path_factory.mktemp("trials") / "corpus")


def test_every_kind_of_damage_changes_the_corpus_and_is_put_right(script, trials):
    for kind in dict.fromkeys(script.DAMAGES):
        damages = [kind(Random(number), trials.files) for number in range(20)]
        assert any(trials.files.get(k) != v for damage in damages for k, v in damage.items())
    for number in range(60):
        trials.run(Random(number))
    assert Corpus.open(trials.path).verify().orphans == ()


def unchecked(self, line):
    match = manifest._LINE.fullmatch(line)
    return match and (0, match[2])


@pytest.mark.parametrize(
    ("name", "instead", "kind"),
    [
        ("check_complete", lambda self, shards: None, "last_lines_lost"),
        ("_parse", unchecked, "lines_swapped"),
    ],
)
def test_a_missing_check_is_silent(script, trials, monkeypatch, name, instead, kind):
    monkeypatch.setattr(manifest.Manifest, name, instead)
    monkeypatch.setattr(script, "DAMAGES", (getattr(script, kind),))
    outcomes = {trials.run(Random(number))[1].partition(":")[0] for number in range(20)}
    assert "silent" in outcomes
