"""What the README says is so: its files exist, its code runs, its commands parse."""

import functools
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GATO_GYM = "import sys; from gato_gym.cli import main; sys.exit(main())"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def file_tree() -> dict[str, str]:
    """Path -> purpose, from the indented block."""
    (tree,) = blocks("text")
    entries, folders = {}, {}
    for line in tree.splitlines():
        name, _, purpose = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        path = "".join(folders[d] for d in range(depth)) + name
        folders[depth] = name
        entries[path] = purpose.strip()
    return entries


def commands() -> list[str]:
    """Each distinct `gato-gym ...` of the README, inline or in a block."""
    inline = re.findall(r"`(gato-gym [^`]+)`", README)
    in_blocks = [
        line.partition("#")[0].strip()
        for block in blocks("bash")
        for line in block.splitlines()
        if line.startswith("gato-gym ")
    ]
    return sorted({command for command in inline + in_blocks if "VERB" not in command})


@functools.cache
def help_of(verb: str) -> str:
    command = [sys.executable, "-c", GATO_GYM, verb, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "tests")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", file_tree())
def test_the_file_tree_names_what_exists_and_says_what_for(path):
    assert file_tree()[path]
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


def test_the_file_tree_names_every_package():
    roots = ("gato_gym", "envs", "agents")
    packages = {
        f"{file.parent.relative_to(ROOT)}/"
        for root in roots
        for file in (ROOT / root).rglob("__init__.py")
    }
    assert packages <= set(file_tree())


def test_the_steps_of_data_name_existing_files():
    (section,) = re.findall(r"## Follow one step of data\n(.*?)\n## ", README, re.DOTALL)
    named = re.findall(r"`([\w./]+(?:\.py|/))`", section)
    assert len(re.findall(r"^\d\. ", section, re.MULTILINE)) == 8
    assert len(named) >= 8
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_pictures_and_links_lead_to_files():
    targets = re.findall(r"\]\(([^)]+)\)", README)
    local = [target for target in targets if not target.startswith("https://")]
    assert "docs/contact_sheet.png" in local
    assert [target for target in local if not (ROOT / target).is_file()] == []


def test_the_python_blocks_run(tmp_path):
    first, words = blocks("python")
    picture = "from PIL import Image; Image.new('RGB', (120, 90), 'grey').save('scene.png')"
    code = "\n".join((picture, first, words))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command):
    program, verb, *arguments = shlex.split(command)
    assert program == "gato-gym"
    text = help_of(verb)
    known = set(re.findall(r"--[\w-]+", text))
    unknown = [a for a in arguments if a.startswith("--") and a not in known]
    assert not unknown, f"gato-gym {verb} has no {unknown}"


def test_make_targets_of_the_readme_exist():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)
    assert {"demo", "test"} <= set(named) <= set(targets)


def test_tables_hold_what_the_data_files_say():
    command = [sys.executable, str(ROOT / "demos" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_table_can_be_rewritten_twice(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "demos")
    location = importlib.util.spec_from_file_location("tables", ROOT / "demos" / "tables.py")
    tables = importlib.util.module_from_spec(location)
    location.loader.exec_module(tables)
    score = {
        "task": "T-v0",
        "episodes": 50,
        "mean_return": 91.25,
        "ci95": [90.0, 92.5],
        "random": 1.0,
        "expert": 100.0,
        "normalized": 0.9116,
        "success_rate": 0.84,
    }
    lines = tables.scores([score])
    once = tables.with_table("a\n<!-- scores -->\nold\n<!-- /scores -->\nb", "scores", lines)
    assert once == tables.with_table(once, "scores", lines)
    assert "| `T-v0` | 50 | 91.2 [90.0, 92.5] | 1.0 | 100.0 | 0.91 | 84% |" in once
    assert "old" not in once and once.startswith("a\n") and once.endswith("\nb")
    spoken = score | {
        "task": "text/t",
        "accuracy": 0.876,
        "accuracy_ci95": [0.85, 0.9],
        "sources": {"grid": {"accuracy": 0.8}, "blocks": {"accuracy": 0.9}},
        "controls": {"shuffled_image": {"accuracy": 0.04}},
        "baselines": {"ngram": {"accuracy": 0.1, "perplexity": 1.5}},
        "perplexity": 1.25,
    }
    told = score | {"controls": {"shuffled_text": {"success_rate": 0.21}}}
    card = [score, spoken, told]
    assert len(tables.scores(card)) == 4 and len(tables.words(card)) == 3
    assert tables.words(card)[-1] == (
        "| `text/t` | 88% [85%, 90%] | grid 80%, blocks 90% |  | 4% (shuffled image) |  | "
        "10%, perplexity 1.50 | 1.25 |  |"
    )
    assert tables.instructions(card)[-1] == "| `T-v0` | 84% | 21% | 4.0 |"
    with pytest.raises(SystemExit, match="markers"):
        tables.with_table("no markers", "scores", lines)
