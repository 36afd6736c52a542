"""Write the tables of the README and of docs/ from the data files that commands wrote.

python demos/tables.py            rewrite what stands between the markers
python demos/tables.py --check    exit 1 if a document says something else
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from score_tables import (
    RESULTS,
    ROOT,
    beside,
    cells,
    domain_instructions,
    domain_scores,
    instructions,
    scorecard,
    scores,
    table,
    words,
)
from study_tables import (
    choices,
    embedded_tasks,
    embeddings,
    first_run,
    later_parts,
    perturbed,
    plateau,
    prompts,
    sizes,
    transfer,
    transfer_costs,
)

from gato_gym.agents.experts import learned_cards
from gato_gym.envs.gato_domains import GATO_DOMAINS
from gato_gym.envs.registry import registered, tasks
from gato_gym.evaluation.scores import bootstrap_interval, normalize


def domains() -> list[str]:
    """The catalogue by domain beside the paper's Table 1."""
    counts = Counter(spec.domain for spec in tasks(available=False))
    extras = {spec.domain: spec.extra for spec in tasks(available=False)}
    beside = {gato.ours: (name, gato.tasks) for name, gato in GATO_DOMAINS.items()}
    lines = table(("domain", "tasks", "extra", "Gato's domain", "its tasks"))
    for domain, count in sorted(counts.items()):
        name, theirs = beside.get(domain, ("", ""))
        extra = f"`{extras[domain]}`" if extras[domain] else ""
        lines += cells(f"`{domain}`", count, extra, name, theirs)
    for name, gato in GATO_DOMAINS.items():
        if gato.ours is None:
            lines += cells("", "", "", name, gato.tasks)
    whole = sum(gato.tasks for gato in GATO_DOMAINS.values())
    return lines + cells("**all**", f"**{sum(counts.values())}**", "", "", f"**{whole}**")


# Success in percent of the released state-based specialists over 1,000 episodes, triplets 1 to 5
# (github.com/google-deepmind/rgb_stacking).
SPECIALISTS = (77.7, 47.4, 83.5, 79.9, 89.5)


def stacking() -> list[str]:
    """The scripted expert of the block-stacking family, from `scores.json`."""
    from gato_gym.envs.registry import load_scores

    lines = table(("task", "success", "return", "published specialists"))
    triplets = []
    for spec in tasks("manipulation", available=False):
        score = load_scores().get(spec.id, {})
        if "-pixels" in spec.id or "expert_success" not in score:
            continue
        _, triplet, number = spec.id.removesuffix("-v0").partition("-Triplet")
        known = triplet and number.isdigit()
        published = f"{SPECIALISTS[int(number) - 1]:.1f} %" if known else ""
        if known:
            triplets.append(score["expert_success"])
        success = f"{100 * score['expert_success']:.1f} %"
        lines += cells(f"`{spec.id}`", success, f"{score['expert']:.1f}", published)
    if triplets:
        ours = 100 * sum(triplets) / len(triplets)
        theirs = sum(SPECIALISTS) / len(SPECIALISTS)
        lines += cells("**mean of the five triplets**", f"**{ours:.1f} %**", "", f"{theirs:.1f} %")
    return lines


def held_out() -> list[str]:
    """The tasks that a transfer study keeps out of pretraining."""
    from gato_gym.envs.registry import HELD_OUT

    lines = table(("task", "random", "expert", "expert's source"))
    for task in HELD_OUT:
        spec = registered(task)
        assert spec is not None
        both = (spec.random_score, spec.expert_score)
        lines += cells(
            f"`{task}`", *("" if x is None else f"{x:.1f}" for x in both), spec.expert_source
        )
    return lines


def learned() -> list[str]:
    """The learned experts that ship, from their cards; published scores beside them."""
    published = json.loads((ROOT / "docs" / "published_scores.json").read_text())
    lines = table(
        ("task", "algorithm", "steps", "minutes", "of one core", "return [95 % interval]"),
        ("published", "ratio"),
    )
    for card in learned_cards():
        task, final = card["task"], card["evaluation"]
        low, high = bootstrap_interval(final["returns"])
        spec, theirs = registered(task), published.get(task, {}).get("score")
        ratio = normalize(final["mean"], spec.random_score, theirs) if spec else None
        minutes = [card.get(f"{clock}_seconds") for clock in ("wall", "cpu")]
        lines += cells(
            f"`{task}`",
            card["algorithm"],
            f"{_environment_steps(card) / 1e6:.2g} M",
            *("" if seconds is None else f"{seconds / 60:.0f}" for seconds in minutes),
            f"{final['mean']:,.1f} [{low:,.1f}, {high:,.1f}]",
            "" if theirs is None else f"{theirs:,.1f}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    return lines


def _environment_steps(card: Mapping[str, Any]) -> int:
    return card["steps_trained"] * card["hyperparameters"].get("action_repeat", 1)


def bench_train() -> list[str]:
    """Our training step beside the plain loop, as `benchmarks/bench.py train` measured them."""
    found = json.loads((RESULTS / "bench_train_cpu.json").read_text())
    lines = table(
        ("", "tokens/s", "plain loop", "ratio", "environment steps/s", "plain loop"),
        ("utilisation", "peak memory", "plain loop", "padding", "waiting for data"),
        ("patch network",),
    )
    for name, run in found.items():
        steps, memory = run["env_steps"], run["memory_gb"]
        lines += cells(
            f"`{name}`",
            f"{run['value']:,.0f}",
            f"{run['reference']:,.0f}",
            f"{run['ratio']:.2f}",
            f"{steps['value']:.1f}",
            f"{steps['reference']:.1f}",
            f"{run['utilisation']['value']:.0%}",
            f"{memory['value']:.1f} GB",
            f"{memory['reference']:.1f} GB",
            f"{run['padding']['value']:.1%}",
            f"{run['loader_wait']['value']:.2%}",
            f"{run['patch_network']:.1%}",
        )
    commands = [f"`{name}`: `{run['command']}`" for name, run in found.items()]
    machine = next(iter(found.values()))["machine"]
    return [*lines, "", f"On {machine}. {'; '.join(commands)}."]


def bench_act() -> list[str]:
    """Our steps beside recomputing the context, as `benchmarks/bench.py act` measured them."""
    found = json.loads((RESULTS / "bench_act_cpu.json").read_text())
    lines = table(
        ("", "tokens of a step", "context", "p50", "p99", "recomputing, p50", "ratio"),
        ("batch of 8, steps/s", "times batch 1", "batch of 64"),
    )
    for name, run in found.items():
        one, eight, many = (run["batches"].get(size) for size in ("1", "8", "64"))
        lines += cells(
            f"`{name}`",
            run["tokens_per_step"],
            f"{run['context']:,}",
            f"{run['p50_ms']:.1f} ms",
            f"{run['p99_ms']:.1f} ms",
            f"{run['reference_p50_ms']:,.0f} ms",
            f"{run['ratio']:.1f}",
            f"{eight['steps_per_second']:,.0f}",
            f"{eight['steps_per_second'] / one['steps_per_second']:.1f}",
            "" if many is None else f"{many['steps_per_second'] / one['steps_per_second']:.1f}",
        )
    commands = [f"`{name}`: `{run['command']}`" for name, run in found.items()]
    machine = next(iter(found.values()))["machine"]
    return [*lines, "", f"On {machine}. {'; '.join(commands)}."]


def eval_batches() -> list[str]:
    """Steps per second of playing in batches, as `benchmarks/eval_batches.py` measured them."""
    found = json.loads((RESULTS / "eval_batches.json").read_text())
    sizes = sorted({row["num_envs"] for row in found["rows"]})
    by_task: dict[str, dict[int, float]] = {}
    for row in found["rows"]:
        by_task.setdefault(row["task"], {})[row["num_envs"]] = row["median"]
    lines = table(("task", *(f"`--num-envs {size}`" for size in sizes)))
    for task, rates in by_task.items():
        lines += cells(f"`{task}`", *(_times(rates[size], rates[sizes[0]]) for size in sizes))
    return [
        *lines,
        "",
        f"Environment steps per second, environments included, and how often those of the first "
        f"column: medians of {found['rounds']} times {found['episodes']} episodes, all with the "
        f"same returns. On {found['machine']}: `{found['command']}`.",
    ]


def precision_speed() -> list[str]:
    """Time and size of rounded weights, as `benchmarks/precision.py` measured them."""
    found = json.loads((RESULTS / "precision_cpu.json").read_text())
    lines = table(("weights", "megabytes", "p50", "p99", "times float32"))
    for name, run in found["speed"].items():
        lines += cells(
            f"`{name}`",
            f"{run['weight_megabytes']:.0f}",
            f"{run['p50_ms']:.1f} ms",
            f"{run['p99_ms']:.1f} ms",
            f"{run['ratio']:.2f}",
        )
    return [
        *lines,
        "",
        f"One pass of `{found['size']}` over {found['tokens']} new tokens at a full context of "
        f"{found['context']:,}, all in turn. On {found['machine']}: `{found['command']}`.",
    ]


def precision_actions() -> list[str]:
    """What rounded weights do to actions and returns, as `benchmarks/precision.py` measured it."""
    found = json.loads((RESULTS / "precision_cpu.json").read_text())
    lines = table(("task", "weights", "equal actions", "return [95 % interval]"))
    for task, run in found["tasks"].items():
        for name, score in run["returns"].items():
            low, high = score["ci95"]
            equal = run["agreement"].get(name)
            lines += cells(
                f"`{task}`",
                f"`{name}`",
                "" if equal is None else f"{equal['equal_actions']:.1%}",
                f"{score['mean_return']:.1f} [{low:.1f}, {high:.1f}]",
            )
    return [
        *lines,
        "",
        f"{found['steps']} steps and {found['episodes']} episodes of each task; the same command.",
    ]


def parallel_actions() -> list[str]:
    """What predicting all numbers at once costs, by `benchmarks/parallel_actions.py`."""
    found = json.loads((RESULTS / "parallel_actions.json").read_text())
    lines = table(
        ("task", "numbers are predicted", "validation loss", "accuracy"),
        ("return [95 % interval]", "random", "expert", "`act`, p50"),
    )
    for task, ways in found["tasks"].items():
        for way, run in ways.items():
            low, high = run["ci95"]
            lines += cells(
                f"`{task}`",
                way,
                f"{run['validation_loss']:.3f}",
                f"{run['validation_accuracy']:.1%}",
                f"{run['mean_return']:.2f} [{low:.2f}, {high:.2f}]",
                f"{run['random']:.2f}",
                f"{run['expert']:.2f}",
                f"{run['act_p50_ms']:.1f} ms",
            )
    return [
        *lines,
        "",
        f"Size `{found['size']}`, {found['steps']} steps of {found['batch']} rows, "
        f"{found['collected']} episodes of each task, {found['episodes']} played. On "
        f"{found['machine']}: `{found['command']}`.",
    ]


def _times(rate: float, reference: float) -> str:
    return f"{rate:,.0f}" if rate == reference else f"{rate:,.0f} ({rate / reference:.1f}x)"


def savings() -> list[str]:
    """What each saving of the step is worth."""
    run = json.loads((RESULTS / "bench_train_cpu.json").read_text())["79m"]
    lines = table(("", "tokens/s", "times the rung before", "share of the whole gain"))
    for rung in run["savings"]["rungs"]:
        lines += cells(
            rung["name"],
            f"{rung['tokens_per_second']:,.0f}",
            f"{rung['gain']:.2f}",
            f"{rung['share']:.0%}",
        )
    return lines


def scaling() -> list[str]:
    """What `benchmarks/scaling.py` computes."""
    found = json.loads((RESULTS / "scaling.json").read_text())
    lines = table(
        ("size", "GPUs", "rows per GPU", "micro-batches", "memory per GPU", "computing"),
        ("communicating", "tokens/s", "days"),
    )
    for size, by_gpus in found["speed"].items():
        for gpus, pace in by_gpus.items():
            room = found["memory"][size][gpus]
            lines += cells(
                f"`{size}`",
                gpus,
                room["rows"],
                room["micro_batches"],
                f"{room['total_gib']:.0f} GiB",
                f"{pace['compute_ms']:,.0f} ms",
                f"{pace['communication_ms']:,.0f} ms",
                f"{pace['tokens_per_second']:,.0f}",
                f"{pace['days']:.2g}",
            )
    return lines


INSTRUCTED = any("controls" in one for one in scorecard())
TABLES: dict[str, dict[str, Callable[[], list[str]]]] = {
    "README.md": {"by-domain": domain_scores}
    | ({"words": words} if any("accuracy" in one for one in scorecard()) else {})
    | ({"instructions": domain_instructions} if INSTRUCTED else {}),
    "docs/acting.md": {"bench-act": bench_act},
    "docs/embeddings.md": {"embeddings": embeddings, "embedded-tasks": embedded_tasks},
    "docs/evaluating.md": {"eval-batches": eval_batches},
    "docs/experts.md": {"learned": learned},
    "docs/generalist.md": {
        "first-run": first_run,
        "plateau": plateau,
        "later-parts": later_parts,
        "choices": choices,
    },
    "docs/parallel_actions.md": {"parallel-actions": parallel_actions},
    "docs/precision.md": {
        "precision-speed": precision_speed,
        "precision-actions": precision_actions,
    },
    "docs/probing.md": {"prompts": prompts, "robustness": perturbed},
    "docs/scores.md": {"scores": scores, "instructions": instructions, "beside": beside},
    "docs/scaling.md": {"scaling": scaling},
    "docs/scaling_study.md": {"sizes": sizes},
    "docs/transfer.md": {"transfer": transfer, "transfer-costs": transfer_costs},
    "docs/suite.md": {"domains": domains, "stacking": stacking, "held-out": held_out},
    "docs/training_speed.md": {"bench-train": bench_train, "savings": savings},
}


def with_table(text: str, name: str, lines: Sequence[str]) -> str:
    """A document with a table between the markers of its name."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"a document needs the markers {begin} and {end}")
    return "\n".join((f"{before}{begin}", *lines, f"{end}{after}"))


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    arguments = parser.parse_args()
    stale = []
    for document, writers in TABLES.items():
        path = ROOT / document
        old = new = path.read_text()
        for name, write in writers.items():
            new = with_table(new, name, write())
        if new != old:
            stale.append(document)
            if not arguments.check:
                path.write_text(new)
    if arguments.check and stale:
        print(f"{', '.join(stale)}: run python demos/tables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
