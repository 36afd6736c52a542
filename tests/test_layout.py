"""The rules of the layout: who may import whom, which names exist, how long a file may be."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import setuptools

import gato_gym

ROOT = Path(__file__).parents[1]
PACKAGES = {"gato_gym": "gato_gym", "gato_gym.envs": "envs", "gato_gym.agents": "agents"}
SCRIPTS = ("demos", "runs", "benchmarks")
MAX_LINES = 400

# The order of the flow: a module imports only from its own layer and from earlier ones. The longest
# name that fits decides.
LAYERS = {
    "gato_gym": 0,
    "gato_gym.types": 1,
    "gato_gym.errors": 1,
    "gato_gym.config": 1,
    "gato_gym.envs": 2,
    "gato_gym.agents": 3,
    "gato_gym.evaluation.rollout": 3,
    "gato_gym.evaluation.observers": 3,
    "gato_gym.evaluation.video": 3,
    "gato_gym.tokenizers": 4,
    "gato_gym.data": 5,
    "gato_gym.models": 6,
    "gato_gym.training": 7,
    "gato_gym.agents.gato": 8,
    "gato_gym.agents.role": 8,
    "gato_gym.agents.observation_form": 8,
    "gato_gym.agents.explanation": 8,
    "gato_gym.agents.demonstrations": 8,
    "gato_gym.agents.sampling": 8,
    "gato_gym.agents.saving": 8,
    "gato_gym.agents.speech": 8,
    "gato_gym.agents.speaker": 8,
    "gato_gym.agents.utterance": 8,
    # How an explanation draws itself.
    "gato_gym.evaluation.overlay": 8,
    "gato_gym.evaluation.charts": 8,
    "gato_gym.evaluation.action_chart": 8,
    "gato_gym.evaluation": 9,
    "gato_gym.cli": 10,
    "gato_gym.testing": 11,
    "gato_gym.__main__": 11,
    # What torchrun starts: the command line by another name. Nothing imports it.
    "gato_gym.training.__main__": 11,
}
# Trains experts; nothing that plays one imports it.
EXPERT_TRAINER = "gato_gym.agents.experts.sb3"
ENVIRONMENT_LAYER, TOKENIZER_LAYER = LAYERS["gato_gym.envs"], LAYERS["gato_gym.tokenizers"]


def module_files() -> dict[str, Path]:
    """Module name -> file, for every module of the three roots."""
    files = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            files[".".join([package, *parts])] = path
    return files


MODULES = module_files()
# `from gato_gym import make` imports the module that `make` lives in.
PUBLIC_NAMES = {f"gato_gym.{name}": home for name, home in gato_gym._HOMES.items()}
PYTHON_FILES = sorted(
    {ROOT / "setup.py"}.union(
        *((ROOT / folder).rglob("*.py") for folder in (*PACKAGES.values(), *SCRIPTS)),
        (ROOT / "tests").rglob("*.py"),
    )
)


def layer(module: str) -> int:
    while module not in LAYERS:
        module = module.rpartition(".")[0]
    return LAYERS[module]


def imports(path: Path, *, deferred: bool = True) -> Iterator[tuple[int, str]]:
    """(line, module) of each import; without `deferred` only those that run at import time."""
    todo: list[ast.AST] = [ast.parse(path.read_text(), str(path))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in MODULES else PUBLIC_NAMES.get(full, base)
        elif not deferred and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += [*(node.body if deferred else []), *node.orelse]
        else:
            todo += ast.iter_child_nodes(node)


def ours(name: str) -> bool:
    return name.partition(".")[0] == "gato_gym"


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_folder_of_modules_was_found():
    assert {"gato_gym.types", "gato_gym.envs.registry", "gato_gym.agents.experts"} <= set(MODULES)


@pytest.mark.parametrize("module", [m for m in MODULES if m != "gato_gym"])
def test_a_module_imports_only_from_earlier_layers(module):
    later = [
        f"{where(MODULES[module])}:{line} imports {target} (layer {layer(target)})"
        for line, target in imports(MODULES[module])
        if ours(target) and layer(target) > layer(module)
    ]
    assert not later, f"{module} is in layer {layer(module)}: " + "; ".join(later)


def test_the_front_door_imports_at_most_the_environments():
    for line, target in imports(MODULES["gato_gym"], deferred=False):
        assert not ours(target) or layer(target) <= ENVIRONMENT_LAYER, f"line {line}: {target}"


def test_imports_have_no_cycles():
    graph = {
        module: {t for _, t in imports(path, deferred=False) if ours(t) and t != module}
        for module, path in MODULES.items()
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(MODULES)


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if layer(m) <= TOKENIZER_LAYER and not m.startswith(EXPERT_TRAINER)],
)
def test_what_an_environment_worker_imports_leaves_torch_alone(module):
    heavy = ("torch", "stable_baselines3", "sb3_contrib", "tensorboard", EXPERT_TRAINER)
    # An expert may load a learner's own format when asked to; environments and tokenizers never do.
    strict = layer(module) in (ENVIRONMENT_LAYER, TOKENIZER_LAYER)
    for line, target in imports(MODULES[module], deferred=strict):
        assert not f"{target}.".startswith(tuple(f"{name}." for name in heavy)), (
            f"{where(MODULES[module])}:{line} imports {target}"
        )


@pytest.mark.parametrize("path", PYTHON_FILES, ids=where)
def test_imports_are_absolute_and_by_the_packaged_name(path):
    for line, target in imports(path):
        assert not target.startswith("."), f"{where(path)}:{line} is a relative import"
        assert target.partition(".")[0] not in ("envs", "agents"), f"{where(path)}:{line}"


@pytest.mark.parametrize("path", PYTHON_FILES, ids=where)
def test_files_stay_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES, f"{where(path)} has {lines} lines; split it by purpose"


def test_tests_are_not_a_package():
    found = [where(path) for path in (ROOT / "tests").rglob("__init__.py")]
    assert not found, "a package would put the checkout on sys.path, with a second copy of envs"


def test_tests_mirror_the_roots():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    allowed = {*PACKAGES.values(), *SCRIPTS, "__pycache__"}
    allowed |= {path.parent.name for path in (ROOT / "gato_gym").glob("*/__init__.py")}
    assert folders <= allowed


def in_new_process(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        "gato_gym",
        "gato_gym.types",
        "gato_gym.envs",
        "gato_gym.agents",
        "gato_gym.evaluation.rollout",
        "gato_gym.tokenizers",
    ],
)
def test_light_modules_leave_torch_out(module, tmp_path):
    heavy = {"torch", "mujoco", "ale_py", "stable_baselines3"}
    code = f"import sys, {module}; print(sorted({heavy!r}.intersection(sys.modules)))"
    assert in_new_process(code, tmp_path) == "[]"


def test_everything_imports_and_no_bare_name_appears(tmp_path):
    code = f"""
import importlib, sys
for name in {[m for m in MODULES if not m.endswith("__main__")]!r}:
    importlib.import_module(name)
print([m for m in sys.modules if m.partition(".")[0] in ("envs", "agents")])
"""
    assert in_new_process(code, tmp_path) == "[]"


def test_public_names_of_the_front_door_exist(tmp_path):
    code = "import gato_gym; print([n for n in gato_gym.__all__ if not hasattr(gato_gym, n)])"
    assert in_new_process(code, tmp_path) == "[]"


def test_the_wheel_carries_only_gato_gym(monkeypatch):
    declared: dict = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", declared.update)
    exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), {"__name__": "__main__"})
    assert declared["package_dir"] == PACKAGES
    assert all(ours(package) for package in declared["packages"])
    with_code = {m for m, path in MODULES.items() if path.name == "__init__.py"}
    assert set(declared["packages"]) == with_code
