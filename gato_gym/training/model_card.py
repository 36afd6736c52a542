"""The model card of an agent: README.md, as people and the Hugging Face Hub read it.

Its numbers come from the network and from the documents that travel with it: card.json, which the
command that trained it wrote, and scorecard.json, which `gato-gym eval --all --out` wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from huggingface_hub import ModelCard, ModelCardData

from gato_gym.tokenizers.timestep import StepTokenizer
from gato_gym.tokenizers.vocabulary import Vocabulary
from gato_gym.training.bundle import README, SCORECARD, Bundle
from gato_gym.training.card_scores import (
    Row,
    document,
    domain_rows,
    hub_results,
    kind_of_text,
    score_rows,
    task_results,
)

CARD = "card.json"
PAPER = "https://arxiv.org/abs/2205.06175"
TAGS = ["gato", "gymnasium", "reinforcement-learning", "imitation-learning", "robotics"]
# A card with this line is written again when the agent is saved, with its newest scores.
MARK = "<!-- gato_gym writes this card; without this line it keeps the text as it is. -->"
# Below this share of the way from random play to the expert, a task is named among the limits.
WEAK = 0.5


def model_card(bundle: Bundle, source: str, media: str | None = None) -> str:
    """Write a card.

    Args:
        bundle: the agent.
        source: what `from_pretrained` finds it by: a folder's name or a Hub id.
        media: name of a video or picture beside the card that shows it at play.

    Raises:
        ValueError: card.json or scorecard.json is not what our commands write.
    """
    rows = score_rows(bundle)
    try:
        origin, prompts = _origin(document(bundle, CARD)), _prompts(bundle)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(
            f"{CARD} is not one that gato-gym train or finetune wrote ({error!r}): remove it"
        ) from error
    sections = [
        *_head(bundle, source, media),
        *_scores(rows, domain_rows(bundle), source),
        *origin,
        *prompts,
        *_limits(bundle, rows),
        MARK,
        "",
    ]
    front = metadata(bundle, source).to_yaml()
    return str(ModelCard("\n".join(["---", front, "---", "", *sections])))


def complete_card(card: str, bundle: Bundle, source: str) -> str:
    """A card that somebody wrote, with what its front matter lacks; the text stays as it is.

    Results of scorecard.json take the place of the card's for the same task and metric.

    Raises:
        ValueError: its front matter is not YAML that the Hub reads; see also `model_card`.
    """
    ours = metadata(bundle, source)
    if not card.lstrip().startswith("---"):
        return f"---\n{ours.to_yaml()}\n---\n{card}"
    try:
        kept = ModelCard(card)
    except Exception as error:  # of yaml or of the Hub's own checks
        raise ValueError(
            f"the front matter of {README} is not YAML that the Hub reads: {error}"
        ) from error
    if ours.eval_results:
        # Where ours tell domains, results of single tasks may be there from when they were few.
        measured = {
            (one.dataset_type, one.metric_type)
            for one in [*ours.eval_results, *task_results(bundle)]
        }
        others = [
            one
            for one in kept.data.get("eval_results", [])
            if (one.dataset_type, one.metric_type) not in measured
        ]
        kept.data["eval_results"] = others + ours.eval_results
    for name, value in vars(ours).items():
        if kept.data.get(name) is None and value is not None:
            kept.data[name] = value
    return str(kept)


def metadata(bundle: Bundle, source: str) -> ModelCardData:
    """The front matter: what the Hub shows, filters by and draws its table of results from."""
    domains = sorted({spec.domain for spec in bundle.specs.values()})
    return ModelCardData(
        license="apache-2.0",
        library_name="gato-gym",
        pipeline_tag="reinforcement-learning",
        tags=[*TAGS, *domains],
        model_name=source.rpartition("/")[2],
        eval_results=hub_results(bundle) or None,
    )


def _head(bundle: Bundle, source: str, media: str | None) -> list[str]:
    task = min(bundle.specs, default="CartPole-v1")
    tasks = f"{len(bundle.specs)} task{'' if len(bundle.specs) == 1 else 's'}"
    lines = [
        f"# {source.rpartition('/')[2]}",
        "",
        f"A generalist agent after Gato ([arXiv 2205.06175]({PAPER})): one network with one set of",
        f"{bundle.model.parameter_count():,} weights, trained on {tasks}. It acts in Gymnasium",
        "environments through gato_gym.",
        "",
        "```python",
        "import gato_gym",
        "",
        f"agent = gato_gym.GatoAgent.from_pretrained({json.dumps(source)})",
        f"env = gato_gym.make({json.dumps(task)})",
        "agent.reset(env)  # then: obs, info = env.reset(); env.step(agent.act(obs))",
        "```",
        "",
        *_speech(bundle),
    ]
    if media is not None:
        video = media.endswith(".mp4")
        shown = f"[A video of it at play]({media})" if video else f"![It at play]({media})"
        lines += [shown, ""]
    return lines


def _speech(bundle: Bundle) -> list[str]:
    """How to have it speak, of what it was trained on."""
    calls = {
        "image-to-text": "`agent.caption(image)` describes a picture",
        "visual-question-answering": "`agent.answer(image, question)` answers a question about one",
        "text-generation": "`agent.chat(messages)` replies in a conversation",
    }
    kinds = {kind_of_text(spec) for spec in bundle.specs.values() if spec.speaks}
    known = [words for kind, words in calls.items() if kind in kinds]
    return [f"The same weights speak: {'; '.join(known)}.", ""] if known else []


def _scores(rows: Sequence[Row], domains: Mapping[str, Row], source: str) -> list[str]:
    if not rows:
        command = f"gato-gym eval --checkpoint {source} --all --out {SCORECARD}"
        return ["## Scores", "", f"Not measured yet: `{command}`.", ""]
    return [
        "## Scores",
        "",
        "Mean return with its 95 % interval. Expert-normalised: 0 is random play, 1 the expert",
        "that made the data, or a published one where there is one (`gato-gym tasks` tells which).",
        "",
        *_domains(domains),
        *_table(
            ["task", "episodes", "return", "random", "expert", "expert-normalised", "success"],
            (
                [
                    f"`{row['task']}`",
                    _number(row.get("episodes"), ","),
                    _number(row["mean_return"], ".1f") + _interval(row.get("ci95")),
                    _number(row.get("random"), ".1f"),
                    _number(row.get("expert"), ".1f"),
                    _number(row.get("normalized"), ".2f"),
                    _number(row.get("success_rate"), ".0%"),
                ]
                for row in rows
            ),
        ),
        "",
        *_words([row for row in rows if row.get("accuracy") is not None]),
    ]


def _domains(domains: Mapping[str, Row]) -> list[str]:
    """What all tasks of a domain come to; left out where there is only one."""
    if len(domains) < 3:
        return []
    return [
        *_table(
            ["domain", "tasks", "interquartile mean", "at half of the expert", "at 80 %"],
            (
                [
                    f"**{domain}**" if domain == "all" else domain,
                    str(told["count"]),
                    _number(told["iqm"], ".2f") + _interval(told["iqm_ci95"], ".2f"),
                    *(str(told["above"][share]) for share in ("50", "80")),
                ]
                for domain, told in domains.items()
            ),
        ),
        "",
    ]


def _words(rows: Sequence[Row]) -> list[str]:
    """Scores of tasks whose actions are text."""
    if not rows:
        return []
    return [
        "Of what it says: accuracy is the mean reward of a reply, from 0 to 1, as the simulator",
        "judges it; exact is the share of replies that are wholly right.",
        "",
        *_table(
            ["task", "accuracy", "exact", "perplexity"],
            (
                [
                    f"`{row['task']}`",
                    _number(row["accuracy"], ".1%") + _interval(row.get("accuracy_ci95"), ".1%"),
                    _number(row.get("exact"), ".0%"),
                    _number(row.get("perplexity"), ".2f"),
                ]
                for row in rows
            ),
        ),
        "",
    ]


def _origin(card: Row) -> list[str]:
    """Data and training, as the command that wrote card.json tells them."""
    lines = []
    losses = (card["curve"][-1] if card.get("curve") else {}).get("losses", {})
    if "data" in card:
        made = [part for data in card["data"].values() for part in data["parts"]]
        lines += [
            "## Data",
            "",
            *_table(
                ["task", "share", "episodes", "steps", "tokens", "loss at the end", "by"],
                (
                    [
                        f"`{task}`",
                        f"{data['share']:.1%}",
                        f"{data['episodes']:,}",
                        f"{data['steps']:,}",
                        f"{data['tokens']:,}",
                        str(losses.get(task, "")),
                        "; ".join(map(_part, data["parts"])),
                    ]
                    for task, data in card["data"].items()
                ),
            ),
            "",
            "Noise is the share of steps on which a random action was executed; the target stays",
            "the expert's own action. Losses are means per target, in nats.",
            *(_LED if any(part.get("learner") for part in made) else ()),
            "",
        ]
    if "curve" in card and "steps" in card:
        lines += [
            "## Training",
            "",
            f"{card['steps']:,} steps, {card['tokens']:,} tokens, "
            f"{card['seconds'] / 60:.0f} minutes on {card['machine']}{_core_hours([card])}.",
            *_whole(card),
            "",
        ]
    tuned = card.get("finetune")
    if tuned is not None:
        lines += [
            "## Training",
            "",
            f"Adapted to `{tuned['task']}` with {tuned['episodes']} of its episodes for "
            f"{tuned['steps']:,} steps, starting from {tuned['base']}.",
            "",
        ]
    command = (tuned or card).get("command")
    lines += ["```bash", command, "```", ""] if command else []
    lines += [card["note"], ""] if card.get("note") else []
    return lines + (["`card.json` has all settings, versions and the curve.", ""] if lines else [])


def _whole(card: Row) -> list[str]:
    """What the chain of runs cost that ended in this one; nothing to say of a first run."""
    chain = [card]
    while (earlier := chain[-1].get("start", {}).get("card", {})) and "tokens" in earlier:
        chain.append(earlier)
    if len(chain) == 1:
        return []
    tokens, seconds = (sum(one[name] for one in chain) for name in ("tokens", "seconds"))
    return [
        f"With the {len(chain) - 1} run{'s' * (len(chain) > 2)} that it goes on from: "
        f"{tokens:,} tokens, {seconds / 3600:.1f} hours of training{_core_hours(chain)}."
    ]


def _core_hours(chain: Sequence[Row]) -> str:
    """The hours of all threads of runs, where each tells how many it had."""
    threads = [re.search(r"(\d+) threads$", str(card.get("machine", ""))) for card in chain]
    known = [int(found[1]) for found in threads if found]
    if len(known) < len(chain):
        return ""
    seconds = sum(card["seconds"] * count for card, count in zip(chain, known, strict=True))
    return f", {seconds / 3600:.1f} core-hours"


def _prompts(bundle: Bundle) -> list[str]:
    if not bundle.prompts:
        return []
    whole = document(bundle, CARD).get("prompts", {})
    rows = []
    for task, episode in sorted(bundle.prompts.items()):
        # Of long ones only the beginning is kept; the card knows all of it.
        known = whole.get(task, {})
        if known.get("seed") != episode.seed:
            known = {"steps": len(episode), "return": episode.episode_return}
        told = (f"{known['steps']:,}", f"{known['return']:.1f}", episode.expert, str(episode.seed))
        rows.append([f"`{task}`", *told])
    return [
        "## Prompts",
        "",
        "Demonstrations that come with it, their first steps at least; `agent.reset(env)` begins",
        "episodes with the task's.",
        "",
        *_table(["task", "steps", "return", "by", "seed"], rows),
        "",
    ]


def _limits(bundle: Bundle, rows: Sequence[Row]) -> list[str]:
    config = bundle.model.config
    lines = [
        "## Limits",
        "",
        "- It has learned nothing of tasks that are not above. It acts in any whose spaces are",
        "  supported, but how well is unknown until it is measured.",
    ]
    vocabulary = Vocabulary(config.text_size)
    steps = [
        config.context // StepTokenizer(spec, vocabulary, bundle.text).tokens_per_step
        for spec in bundle.specs.values()
        if bundle.text is not None or not spec.has_text
    ]
    if steps:
        low, high = min(steps), max(steps)
        remembered = f"{low:,}" if low == high else f"{low:,} to {high:,}, depending on the task"
        lines += [
            f"- It sees {config.context:,} tokens at once. Steps of an episode that it remembers:",
            f"  {remembered}.",
        ]
    if bundle.text is None:
        lines += ["- It has no text model: it cannot act where observations hold text."]
    scored = [row for row in rows if row.get("normalized") is not None]
    weak = [row["task"] for row in scored if row["normalized"] < WEAK]
    if weak:
        names = ", ".join(f"`{task}`" for task in weak)
        lines += [f"- Less than half of the way from random play to the expert: {names}."]
    unknown = bundle.specs.keys() - {row["task"] for row in rows}
    if unknown:
        lines += [
            f"- Trained on, but not measured: {', '.join(f'`{t}`' for t in sorted(unknown))}."
        ]
    return [*lines, ""]


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *cells]]


_LED = (
    "Where an agent played, named by the fingerprint of its weights, its actions were executed and",
    "the targets are what the expert would have done.",
)


def _part(part: Row) -> str:
    first, last = part["seeds"]
    led, noise = part.get("learner"), f"{part['noise']:g}"
    how = f"noise {noise}"
    if led:
        how = f"played by {led}" + (f" on {noise} of the steps" if part["noise"] else "")
    return f"{part['expert']}, {how}, seeds {first} to {last}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _interval(bounds: Sequence[float] | None, form: str = ".1f") -> str:
    return "" if bounds is None else f" [{bounds[0]:{form}}, {bounds[1]:{form}}]"
