"""`gato-gym train` with weights of domains, the paper's mixture and a filter of episodes."""

import json

from gato_gym.data.corpus import Corpus
from gato_gym.data.filters import near_expert


def train(run, corpus, out, *arguments):
    fixed = ("--size", "tiny", "--steps", 1, "--batch", 2, "--threads", 1)
    return run("train", "--corpus", corpus, "--out", out, *fixed, *arguments)


def test_a_filtered_run_says_so_and_resumes_only_with_its_filter(run, fails, corpus, tmp_path):
    entries = Corpus.open(corpus).episodes()
    kept = near_expert(entries)
    assert 0 < len(kept) < len(entries)
    out = tmp_path / "run"
    code, _, told = train(run, corpus, out, "--filter", "near-expert")
    assert code == 0
    assert f"--filter near-expert leaves {len(kept)} of {len(entries)} episodes" in told
    card = json.loads((out / "agent/card.json").read_text())
    assert card["data"]["CartPole-v1"]["episodes"] == len(kept)
    assert "--filter near-expert" in card["command"]
    assert train(run, corpus, out, "--filter", "near-expert")[0] == 0
    code, _, told = train(run, corpus, out)
    assert code == 2 and "trained on other data: filter is 'none', was 'near-expert'" in told


def test_a_filter_that_changes_nothing_is_still_a_setting(run, corpus, tmp_path):
    assert train(run, corpus, tmp_path / "run", "--filter", "success")[0] == 0
    code, _, told = train(run, corpus, tmp_path / "run")
    assert code == 2 and "trained on other data: filter is 'none', was 'success'" in told


def test_own_weights_complete_the_papers(run, corpus, tmp_path):
    paper = ("--mixture", "paper")
    assert train(run, corpus, tmp_path / "a", *paper, "--weights", "CartPole-v1=5")[0] == 0
    assert train(run, corpus, tmp_path / "b", *paper, "--weights", "domain:classic=5")[0] == 0
