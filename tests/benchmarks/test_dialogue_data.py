"""The counts of the dialogue data: small again, and those that the documentation prints."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    path = ROOT / "benchmarks" / "dialogue_data.py"
    location = importlib.util.spec_from_file_location("dialogue_data", path)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def test_the_documentation_prints_what_was_counted(script):
    found = json.loads((ROOT / "benchmarks/results/dialogue_data.json").read_text())
    assert {name: found[name] for name in script.contents()} == script.contents()
    page = (ROOT / "docs/language_data.md").read_text()
    for name in script.contents():
        assert f"| {found[name]:,} |" in page, name
    for mean, most in found["tokens"].values():
        assert f"| {mean:g}, {most} |" in page
    for order in (4, 5):
        ngram = found[f"ngram_{order}"]
        told = f"order {order} (perplexity {ngram['perplexity']:.2f} per token) | "
        assert f"{told}{ngram['accuracy']:.0%}" in page.replace(" %", "%")
    assert f" {found['known_text']:.0%} of the held-out turns" in page.replace(" %", "%")
    for parrot in ("same_words", "same_kind"):
        assert f"| {found[parrot]:.0%} |" in page.replace(" %", "%")


def test_it_counts(script, capsys):
    assert script.main(["--train", "60", "--test", "10", "--orders", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["held_out"] >= 0.5
    assert 0 < found["known_text"] < 0.5
    assert 0 <= found["same_words"] <= found["same_kind"] < 0.4
    assert found["ngram_3"]["perplexity"] > 1.5
    assert script.main(["--train", "5", "--test", "2", "--orders"]) == 0
    assert "same_words" in capsys.readouterr().out
