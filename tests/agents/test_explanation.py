"""What an explanation says, against attention computed from the start, and numbers by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gato_gym import envs
from gato_gym.agents.explanation import ActionNumber, Explanation, Tokens
from gato_gym.agents.gato import GatoAgent
from gato_gym.config import model_config
from gato_gym.models.gato import Gato, rotary_angles, rotate
from gato_gym.tokenizers.image import acting_positions
from gato_gym.tokenizers.timestep import ACTION_ROW
from gato_gym.types import ActionSpec, Episode, ObservationSpec, TaskSpec

TEXT_TASK = "BabyAI-GoToLocal-v0"
PIXELS = "gato_gym/BlockStacking-Lift-pixels-v0"
SEVERAL_TEXTS = TaskSpec(
    "test/Texts-v0",
    "test",
    "test",
    (ObservationSpec("b", "text", ()), ObservationSpec("a", "text", ())),
    ActionSpec("discrete", 2, (3, 4)),
)


def build(task: TaskSpec | str, context: int = 96, parallel: bool = False, prompt: int = 0):
    """An agent of random weights that has been reset for the task, and the prompt it was given."""
    spec = task if isinstance(task, TaskSpec) else envs.task_spec(task)
    torch.manual_seed(0)
    model = Gato(replace(model_config("tiny"), context=context, parallel_actions=parallel))
    with torch.no_grad():  # so that attention is far from even
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    agent = GatoAgent(model, {spec.id: spec})
    shown = demonstration(spec, prompt) if prompt else None
    agent.reset(spec.id, prompt=shown)
    return agent, shown


def observe(spec: TaskSpec, rng: np.random.Generator) -> dict:
    """Random, of every kind; texts of one to five words."""
    found = {}
    for item in spec.observations:
        if item.kind == "image":
            found[item.key] = rng.integers(0, 256, item.shape, dtype=np.uint8)
        elif item.kind == "continuous":
            found[item.key] = rng.normal(size=item.shape).astype(np.float32)
        elif item.kind == "discrete":
            found[item.key] = rng.integers(0, 4, item.shape)
        else:
            found[item.key] = " ".join(["go"] + ["ball"] * rng.integers(0, 5))
    return found


def demonstration(spec: TaskSpec, steps: int) -> Episode:
    rng = np.random.default_rng(9)
    seen = [observe(spec, rng) for _ in range(steps + 1)]
    stacked = {key: np.stack([one[key] for one in seen]) for key in seen[0]}
    size = spec.action.size
    actions = np.array([rng.integers(0, n, steps) for n in spec.action.n]).T
    if spec.action.kind == "continuous":
        actions = rng.uniform(-1, 1, (steps, size)).astype(np.float32)
    elif size == 1:
        actions = actions[:, 0]
    return Episode(spec.id, stacked, actions, np.zeros(steps), False, 0, "test")


class Naive:
    """A stream kept as a list of steps, and everything computed from its start each time."""

    def __init__(self, agent: GatoAgent, prompt: Episode | None) -> None:
        self.agent, self.role = agent, agent._roles[0]
        self.steps: list[dict] = []
        self.oldest = 0
        if prompt is not None:
            room = agent.config.context // 2 // self.role.tokenizer.tokens_per_step
            acted = self.role.tokenizer.action_ids(prompt.actions)
            for step in range(min(room, len(prompt))):
                self.observe({k: v[step] for k, v in prompt.observations.items()}, prompt=True)
                self.steps[-1]["action"] = acted[step].tolist()

    def observe(self, obs: dict, prompt: bool = False) -> None:
        sequence = self.role.tokenizer.observe(obs)
        names = []
        texts = [item for item in self.role.spec.observations if item.kind == "text"]
        for item in sorted(self.role.spec.observations, key=lambda item: item.key):
            if item.kind == "image":
                rows, columns = item.shape[0] // 16, item.shape[1] // 16
                places = [(r, c) for r in range(rows) for c in range(columns)]
                names += [("image", item.key, r * columns + c, r, c) for r, c in places]
                continue
            count = math.prod(item.shape)
            if item.kind == "text":
                count = len(self.role.tokenizer.text.encode(obs[item.key]))
            names += [(item.kind, item.key, index, -1, -1) for index in range(count)]
        if len(texts) > 1:
            names = [("observation", "", index, -1, -1) for index in range(len(names))]
        names.append(("separator", "", 0, -1, -1))
        assert len(names) == len(sequence)
        step = {"sequence": sequence, "names": names, "prompt": prompt, "action": []}
        self.steps.append(step)
        # Whole steps fall out, the oldest first, until the new one fits with its action.
        size = self.role.spec.action.size
        while (
            sum(len(one["names"]) + size for one in self.steps[self.oldest :])
            > self.agent.config.context
        ):
            self.oldest += 1
        step["sees"] = self.oldest

    @torch.inference_mode()
    def look(self) -> tuple[np.ndarray, np.ndarray]:
        """(L, H, T, T) attention of all tokens to all tokens, (T, V) probabilities."""
        model, parts = self.agent.model, [step["sequence"] for step in self.steps]
        starts = np.cumsum([0] + [len(s["names"]) + len(s["action"]) for s in self.steps])
        ids, local, first = [], [], []
        for step, sequence in zip(self.steps, parts, strict=True):
            ids += [*sequence.ids.tolist(), *step["action"]]
            local += [*sequence.local.tolist(), *[ACTION_ROW] * len(step["action"])]
            tokens = len(sequence) + len(step["action"])
            first += [starts[step["sees"]]] * tokens
        patches = np.concatenate([sequence.patches for sequence in parts])
        places = np.concatenate([acting_positions(sequence.intervals) for sequence in parts])
        x = model.embedding(
            torch.tensor(ids)[None],
            torch.tensor(local)[None],
            torch.from_numpy(patches),
            torch.arange(len(patches)),
            torch.from_numpy(places.astype(np.int64)),
        )[0]
        index = torch.arange(len(ids))
        hidden = (index > index[:, None]) | (index < torch.tensor(first)[:, None])
        heads, size = model.config.heads, model.config.width // model.config.heads
        cos, sin = rotary_angles(index, size)
        found = []
        for block in model.blocks:
            normed = block.norm1(x)
            key, value = block.key_value(normed).chunk(2, dim=-1)
            query = block.query(normed)
            query, key = (rotate(y.view(-1, heads, size), cos, sin) for y in (query, key))
            scores = torch.einsum("qhk,chk->hqc", query, key) / size**0.5
            weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            found.append(weights)
            mixed = torch.einsum("hqc,chk->qhk", weights, value.view(-1, heads, size))
            x = x + block.out(mixed.flatten(1))
            gate, linear = block.up(block.norm2(x)).chunk(2, dim=-1)
            x = x + block.down(torch.nn.functional.gelu(gate) * linear)
        return torch.stack(found).numpy(), model.logits(model.norm(x)).numpy()

    def check(self, seen: Explanation) -> None:
        """The explanation of the last observation says what is computed and named here."""
        last, size = self.steps[-1], self.role.spec.action.size
        chosen = self.role.tokenizer.action_ids(np.asarray(seen.action)[None])[0].tolist()
        last["action"] = chosen[:-1]
        weights, logits = self.look()
        begin = sum(len(s["names"]) + len(s["action"]) for s in self.steps[: self.oldest])
        for number in range(size):
            row = weights.shape[-1] - size + number
            expected = weights[:, :, row, begin:]
            assert np.abs(seen.attention[number] - expected).max() < 1e-5
            low, high = self.role.tokenizer.legal_ids[number]
            powers = np.exp(logits[row, low:high].astype(np.float64))
            np.testing.assert_allclose(
                seen.numbers[number].probabilities, powers / powers.sum(), atol=1e-5
            )
            assert seen.numbers[number].values[chosen[number] - low] == seen.numbers[number].chosen
        expected = []
        for age, step in enumerate(self.steps[self.oldest :][::-1]):
            names = [*step["names"]]
            names += [("action", "", number, -1, -1) for number in range(len(step["action"]))]
            expected = [(*name, age, step["prompt"]) for name in names] + expected
        told = seen.tokens
        columns = (told.kind, told.key, told.index, told.row, told.column, told.age, told.prompt)
        assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
        assert len(told) == seen.attention.shape[-1]
        np.testing.assert_allclose(seen.attention.sum(-1), 1, atol=1e-5)
        assert seen.prompt_steps == sum(s["prompt"] for s in self.steps[self.oldest :])
        last["action"] = chosen


@pytest.mark.parametrize(
    ("task", "context", "parallel", "prompt", "steps"),
    [
        ("ALE/Boxing-v5", 96, False, 3, 6),  # one image
        ("gato_gym/BlockStacking-v0", 96, False, 2, 6),  # five action numbers
        ("gato_gym/BlockStacking-v0", 96, True, 1, 6),
        ("CartPole-v1", 96, False, 5, 20),
        (TEXT_TASK, 512, False, 1, 4),  # a text of another length at each step
        (PIXELS, 160, False, 0, 5),  # two images among numbers
        (SEVERAL_TEXTS, 300, False, 1, 6),
    ],
    ids=["image", "numbers", "parallel", "prompt", "text", "images", "texts"],
)
def test_attention_probabilities_and_names_equal_a_full_recomputation(
    task, context, parallel, prompt, steps
):
    agent, shown = build(task, context, parallel, prompt)
    naive, spec = Naive(agent, shown), next(iter(agent.specs.values()))
    rng = np.random.default_rng(0)
    for _ in range(steps):
        obs = observe(spec, rng)
        seen = agent.explain(obs)
        naive.observe(obs)
        naive.check(seen)
        again = agent.explain(obs)
        np.testing.assert_array_equal(again.attention, seen.attention)
        np.testing.assert_array_equal(agent.act(obs), seen.action)
    assert task is SEVERAL_TEXTS or naive.oldest > 0  # the context has slid


def test_what_was_read_is_told_as_the_tokens_tell_it():
    for task in (PIXELS, TEXT_TASK):
        agent, _ = build(task, 512)
        obs = observe(envs.task_spec(task), np.random.default_rng(3))
        seen = agent.explain(obs).seen
        assert set(seen) == set(obs)
        for key, value in obs.items():
            if isinstance(value, str):
                assert "".join(seen[key]).strip() == value
            elif value.dtype == np.float32:  # as coarse as the bins
                np.testing.assert_allclose(seen[key], value, rtol=0.011, atol=2e-4)
            else:
                np.testing.assert_array_equal(seen[key], value)
    agent, _ = build(SEVERAL_TEXTS, 300)
    assert agent.explain({"a": "go", "b": "ball"}).seen == {}


# By hand: two steps of an image of 2 x 3 patches and two numbers, one head that looks at known
# places and one that looks everywhere alike.

SPEC = TaskSpec(
    "test/Hand-v0",
    "test",
    "test",
    (
        ObservationSpec("numbers", "continuous", (2,)),
        ObservationSpec("image", "image", (32, 48, 3)),
    ),
    ActionSpec("discrete", 1, (4,)),
)
EVEN = 1 / 19


@pytest.fixture
def by_hand() -> Explanation:
    step = [("image", "image", i, i // 3, i % 3) for i in range(6)]
    step += [("continuous", "numbers", i, -1, -1) for i in range(2)] + [
        ("separator", "", 0, -1, -1)
    ]
    names = [*step, ("action", "", 0, -1, -1), *step]
    kind, key, index, row, column = (np.array(part) for part in zip(*names, strict=True))
    age = np.array([1] * 10 + [0] * 9)
    weights = np.full((1, 1, 2, 19), EVEN, np.float32)
    weights[0, 0, 0] = 0
    weights[0, 0, 0, 10 + 5] = 0.5  # row 1, column 2, now
    weights[0, 0, 0, 10 + 7] = 0.25  # the second number, now
    weights[0, 0, 0, 1] = 0.125  # row 0, column 1, one step ago
    weights[0, 0, 0, 9] = 0.125  # the last action
    return Explanation(
        SPEC,
        2,
        (ActionNumber(np.arange(4), np.array([0.125, 0.125, 0.5, 0.25]), 2),),
        weights,
        Tokens(age, age == 1, kind, key, index, row, column),
    )


def test_maps_add_up_what_they_should(by_hand):
    first = by_hand.patch_map(heads=0)
    np.testing.assert_array_equal(first, [[0, 0, 0], [0, 0, 0.5]])
    np.testing.assert_array_equal(by_hand.patch_map("image", age=1, heads=[0])[0], [0, 0.125, 0])
    np.testing.assert_allclose(by_hand.patch_map()[1], [EVEN / 2] * 2 + [0.25 + EVEN / 2])
    np.testing.assert_allclose(by_hand.patch_map(heads=slice(1, None)), np.full((2, 3), EVEN))
    items = by_hand.by_item(heads=0)
    assert list(items) == ["image", "numbers"] == [*by_hand.by_item(None)]
    np.testing.assert_array_equal(items["numbers"], [0, 0.25])
    everything = by_hand.by_item(None, heads=0)["image"]
    np.testing.assert_array_equal(everything, [[0, 0.125, 0], [0, 0, 0.5]])
    np.testing.assert_array_equal(by_hand.by_step(heads=0), [0.75, 0.25])
    np.testing.assert_allclose(by_hand.by_step(heads=-1), [9 / 19, 10 / 19])
    assert (by_hand.prompt_steps, by_hand.images) == (1, ("image",))
    assert by_hand.weights(layers=0, heads=1, numbers=[0]).sum() == pytest.approx(1)
    told = "test/Hand-v0, action 2; numbers 1, layers 1, heads 2, tokens 19, steps 2"
    assert repr(by_hand) == f"Explanation({told})"
    assert repr(replace(by_hand, action=np.arange(50.0) / 3)).count("\n") == 0


def test_a_number_of_an_action_is_summed_up_rightly(by_hand):
    (number,) = by_hand.numbers
    assert number.chosen == number.likeliest == 2 and number.mean == pytest.approx(0.125 + 1 + 0.75)
    assert number.entropy == pytest.approx((0.25 * 3 + 0.5 + 0.25 * 2) * math.log(2))
    assert number.top(3) == [(2, 0.5), (3, 0.25), (0, 0.125)]
    np.testing.assert_array_equal(number.histogram(2), [0.25, 0.75])
    np.testing.assert_array_equal(number.histogram(3), [0.125, 0.125, 0.75])
    assert "4 values, 2: 0.500" in repr(number)
    certain = ActionNumber(np.arange(2), np.array([0.0, 1.0]), 1)
    assert (certain.entropy, certain.mean) == (0, 1)
    for bins in (0, 5):
        with pytest.raises(ValueError, match=rf"bins must be in 1\.\.4, got {bins}"):
            number.histogram(bins)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda one: one.by_item(2), r"age must be in 0\.\.1, the visible steps, got 2"),
        (lambda one: one.patch_map(age=-1), r"age must be in 0\.\.1"),
        (lambda one: one.patch_map("numbers"), "key is 'numbers', its images are: image"),
        (lambda one: one.patch_map(layers=1), "layers=1 chooses none of 1"),
        (lambda one: one.by_step(heads=[0, 2]), r"heads=\[0, 2\] chooses none of 2"),
        (lambda one: one.weights(numbers=slice(1, None)), "numbers=slice.*chooses none of 1"),
        (lambda one: one.weights(layers=None), "layers=None chooses none of 1"),
        (lambda one: one.weights(heads="all"), "heads='all' chooses none of 2"),
        (
            lambda one: replace(
                one, spec=replace(SPEC, observations=SPEC.observations[:1])
            ).patch_map(),
            "key is None, its images are: none",
        ),
    ],
)
def test_what_is_not_there_is_refused(by_hand, ask, told):
    with pytest.raises(ValueError, match=told):
        ask(by_hand)
