"""A step <-> tokens, with the golden worked example of the loss mask."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_gym.data.packing import Document, pack, single
from gato_gym.errors import InvalidObservationError, UnsupportedSpaceError
from gato_gym.tokenizers.continuous import from_bins
from gato_gym.tokenizers.default_text import default_text
from gato_gym.tokenizers.timestep import (
    ACTION_ROW,
    LOCAL_ROWS,
    OBSERVATION_ROWS,
    SEPARATOR_ROW,
    TEXT_SLOT,
    StepTokenizer,
    TokenSequence,
)
from gato_gym.tokenizers.vocabulary import PAD, Vocabulary
from gato_gym.types import ActionSpec, ObservationSpec, TaskSpec

VOCABULARY = Vocabulary(1024)
SPEC = TaskSpec(
    id="worked/Example-v0",
    domain="test",
    family="test",
    observations=(
        ObservationSpec("room", "discrete", (2,)),  # not in key order, on purpose
        ObservationSpec("arm/camera", "image", (16, 32, 3)),
        ObservationSpec("arm/goal", "text", ()),
        ObservationSpec("arm/position", "continuous", (2,)),
    ),
    action=ActionSpec("continuous", 2),
)
CAMERA = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3)).astype(np.uint8)
OBSERVATIONS = {
    "arm/camera": CAMERA,
    "arm/goal": np.array(["go", "x"]),
    "arm/position": np.array([[1.0, -256.0], [0.1, 0.0]], np.float32),
    "room": np.array([[3, 0], [1, 1023]]),
}
EXECUTED = np.array([[0.0, 1.0], [-1.0, -1.0]], np.float32)
EXPERT = np.array([[-1.0, 0.5], [-1.0, -1.0]], np.float32)

# Written by hand: V = 1024, so bin b is 1024 + b; the separator is 2048; a patch is -1.
IDS = [
    *(-1, -1, 7, 8, 9, 1768, 1024, 3, 0, 2048, 1536, 2047),
    *(-1, -1, 5, 1656, 1536, 1, 1023, 2048, 1024, 1024),
]
LOCAL = [*range(9), 513, 512, 512, *range(7), 513, 512, 512]
TARGETS = [
    *(-1, -1, 7, 8, 9, -1, -1, -1, -1, -1, 1024, 1792),
    *(-1, -1, 5, -1, -1, -1, -1, -1, 1024, 1024),
]
QUERIES = [1, 2, 3, 9, 10, 13, 19, 20]
PREDICTED = [7, 8, 9, 1024, 1792, 5, 1024, 1024]


def spec(*observations, action=None):
    return replace(
        SPEC, observations=observations, action=action or ActionSpec("discrete", 1, (3,))
    )


@pytest.fixture
def tokenizer(known_text):
    return StepTokenizer(SPEC, VOCABULARY, known_text)


@pytest.fixture
def sequence(tokenizer):
    return tokenizer.sequence(OBSERVATIONS, EXECUTED, EXPERT)


def test_worked_example(sequence):
    assert sequence.ids.tolist() == IDS
    assert sequence.local.tolist() == LOCAL
    assert sequence.targets.tolist() == TARGETS
    assert len(sequence) == 22


def test_worked_example_is_supervised_at_exactly_these_positions(sequence):
    window = single(
        pack(22, [[Document(0, [sequence])]], [0], [("a",)], [np.random.default_rng(0)])
    )
    assert window.queries.tolist() == QUERIES
    assert window.targets.tolist() == PREDICTED


def test_worked_example_packed_twice(sequence):
    row = [Document(0, [sequence]), Document(1, [sequence])]
    window = single(pack(47, [row], [0], [("a", "b")], [np.random.default_rng(0)]))
    assert window.ids.tolist() == IDS + IDS + [0, 0, 0]
    assert window.local.tolist() == LOCAL + LOCAL + [0, 0, 0]
    assert window.first_visible.tolist() == [0] * 22 + [22] * 22 + [44, 45, 46]
    assert window.queries.tolist() == QUERIES + [q + 22 for q in QUERIES]
    assert window.targets.tolist() == PREDICTED + PREDICTED
    assert window.tasks.tolist() == [0] * 8 + [1] * 8
    assert window.padding == 3
    np.testing.assert_array_equal(
        window.patches[window.pixels], np.concatenate([sequence.patches, sequence.patches])
    )


def test_patches_of_the_worked_example(sequence):
    assert sequence.patches.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(sequence.patches[0], CAMERA[0, :, :16])
    np.testing.assert_array_equal(sequence.patches[3], CAMERA[1, :, 16:])
    assert sequence.intervals.tolist() == [[0, 128, 0, 64], [0, 128, 64, 128]] * 2


def test_first_token_of_a_document_has_no_predictor():
    parts = [
        TokenSequence(
            *(np.array(values, np.int32) for values in ([9, 9, 9, 9], [0, 1, 2, 3], targets)),
            patches=np.zeros((0, 16, 16, 3), np.uint8),
            intervals=np.zeros((0, 4), np.int16),
        )
        for targets in ([4, 5, -1, 6], [7, -1, -1, 8])
    ]
    rng = np.random.default_rng(0)
    apart = pack(8, [[Document(0, parts[:1]), Document(0, parts[1:])]], [0], [()], [rng])
    assert apart.queries.tolist() == [[0, 2, 6]] and apart.targets.tolist() == [[5, 6, 8]]
    together = pack(
        8, [[Document(0, parts)]], [0], [()], [rng]
    )  # a prompt predicts what follows it
    assert together.queries.tolist() == [[0, 2, 3, 6]]
    assert together.targets.tolist() == [[5, 6, 7, 8]]


def test_ids_hold_what_was_executed_and_targets_what_the_expert_wanted(tokenizer):
    ours = tokenizer.sequence(OBSERVATIONS, EXECUTED, EXPERT)
    calm = tokenizer.sequence(OBSERVATIONS, EXPERT, EXPERT)
    other = tokenizer.sequence(OBSERVATIONS, EXECUTED, EXECUTED)
    np.testing.assert_array_equal(ours.ids, other.ids)
    np.testing.assert_array_equal(ours.targets, calm.targets)
    assert (ours.ids != calm.ids).any() and (ours.targets != other.targets).any()


def test_local_rows():
    assert (OBSERVATION_ROWS, ACTION_ROW, SEPARATOR_ROW, LOCAL_ROWS) == (512, 512, 513, 514)


@given(st.lists(st.sampled_from(["", "x", "go", "long"]), min_size=1, max_size=4))
def test_pad_is_removed_and_positions_are_contiguous(known_text, goals):
    tokenizer = StepTokenizer(SPEC, VOCABULARY, known_text)
    steps = len(goals)
    observations = {
        "arm/camera": np.zeros((steps, 16, 32, 3), np.uint8),
        "arm/goal": np.array(goals),
        "arm/position": np.zeros((steps, 2), np.float32),
        "room": np.zeros((steps, 2), np.int64),
    }
    actions = np.zeros((steps, 2), np.float32)
    tokens = tokenizer.sequence(observations, actions, actions)
    assert PAD not in tokens.ids
    lengths = [min(TEXT_SLOT, len(known_text.encode(goal))) for goal in goals]
    local = [row for n in lengths for row in (*range(2 + n + 4), 513, 512, 512)]
    assert tokens.local.tolist() == local
    assert int((tokens.targets >= 0).sum()) == sum(lengths) + 2 * steps


def test_keys_of_nested_observations_are_in_lexicographic_order(tokenizer):
    observation = {
        "room": np.array([3, 0]),
        "arm": {
            "position": np.array([1.0, -256.0], np.float32),
            "goal": "go",
            "camera": CAMERA[0],
        },
    }
    seen = tokenizer.observe(observation)
    assert seen.ids.tolist() == IDS[:10]
    assert seen.local.tolist() == LOCAL[:10]
    assert (seen.targets == -1).all()
    np.testing.assert_array_equal(seen.patches[1], CAMERA[0, :, 16:])


@given(st.integers(0, 2**32 - 1))
def test_discrete_actions_come_back_exactly(seed):
    sizes = (3, 1024, 1, 18)
    tokenizer = StepTokenizer(
        spec(ObservationSpec("o", "discrete", ()), action=ActionSpec("discrete", 4, sizes)),
        VOCABULARY,
    )
    actions = np.random.default_rng(seed).integers(0, sizes, (5, 4))
    ids = tokenizer.action_ids(actions)
    np.testing.assert_array_equal(ids, actions)  # unshifted
    decoded = tokenizer.decode_action(ids)
    assert decoded.dtype == np.int64
    np.testing.assert_array_equal(decoded, actions)
    assert tokenizer.legal_ids.tolist() == [[0, n] for n in sizes]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=2))
def test_continuous_actions_come_back_as_bin_centres(known_text, action):
    tokenizer = StepTokenizer(SPEC, VOCABULARY, known_text)
    ids = tokenizer.action_ids(np.array([action]))
    low, high = tokenizer.legal_ids.T
    assert ((ids >= low) & (ids < high)).all()
    decoded = tokenizer.decode_action(ids)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, from_bins(ids - 1024))
    np.testing.assert_allclose(decoded[0], action, rtol=0, atol=1 / 1024 + 1e-7)
    np.testing.assert_array_equal(tokenizer.action_ids(decoded), ids)


def test_actions_are_not_companded(tokenizer):
    assert tokenizer.action_ids(np.array([[0.5, -0.5]])).tolist() == [[1024 + 768, 1024 + 256]]


@pytest.mark.parametrize("actions", [[3], [-1], [[0, 1]], [[]]])
def test_illegal_discrete_actions(actions):
    tokenizer = StepTokenizer(spec(ObservationSpec("o", "discrete", ())), VOCABULARY)
    with pytest.raises(InvalidObservationError, match="worked/Example-v0: actions"):
        tokenizer.action_ids(np.array(actions))


def test_wrong_number_of_continuous_actions(tokenizer):
    with pytest.raises(InvalidObservationError, match="do not fit"):
        tokenizer.action_ids(np.zeros((2, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_observation_names_task_key_and_step(tokenizer, bad):
    position = np.zeros((2, 2), np.float32)
    position[1, 0] = bad
    with pytest.raises(InvalidObservationError) as caught:
        tokenizer.observation_ids(OBSERVATIONS | {"arm/position": position}, first_step=40)
    for part in ("worked/Example-v0", "'arm/position'", "step 41", "not finite"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("arm/camera", CAMERA[:, :, :16], "expected \\(16, 32\\)"),
        ("arm/camera", CAMERA.astype(np.float32), "must be uint8"),
        ("arm/camera", CAMERA[..., :1], "must be uint8 \\(height, width, 3\\)"),
        ("arm/camera", CAMERA[0], "must be uint8"),
        ("arm/position", np.zeros((2, 3), np.float32), "has shape \\(3,\\), expected \\(2,\\)"),
        ("room", np.array([[0, 0], [0, 1024]]), "step 1 must lie in \\[0, 1024\\)"),
        ("room", np.array([[-1, 0], [0, 0]]), "step 0 must lie in \\[0, 1024\\)"),
        ("room", np.array([0, 0]), "has shape \\(\\), expected \\(2,\\)"),
    ],
)
def test_observations_that_do_not_fit(tokenizer, key, value, message):
    with pytest.raises(InvalidObservationError, match=message):
        tokenizer.observation_ids(OBSERVATIONS | {key: value})


@pytest.mark.parametrize("key", list(OBSERVATIONS))
def test_missing_key(tokenizer, key):
    less = {k: v for k, v in OBSERVATIONS.items() if k != key}
    with pytest.raises(InvalidObservationError, match=f"has no '{key}'"):
        tokenizer.observation_ids(less)


def test_more_than_512_observation_tokens():
    StepTokenizer(spec(ObservationSpec("o", "continuous", (512,))), VOCABULARY)
    with pytest.raises(UnsupportedSpaceError, match=r"513 tokens.*image_size="):
        StepTokenizer(spec(ObservationSpec("o", "continuous", (513,))), VOCABULARY)


def test_text_without_a_model_is_read_by_the_default_one():
    tokenizer = StepTokenizer(SPEC, Vocabulary(1024))
    assert SPEC.has_text and tokenizer.text is default_text()


def test_text_model_must_fit_the_vocabulary():
    with pytest.raises(ValueError, match="1025 pieces"):
        StepTokenizer(SPEC, VOCABULARY, SimpleNamespace(size=1025))


def test_sizes(tokenizer):
    assert tokenizer.patches_per_step == 2
    assert tokenizer.observation_slots == 2 + TEXT_SLOT + 4
    assert tokenizer.tokens_per_step == tokenizer.observation_slots + 3


def naive_bins(values):
    """Section 2.1 and appendix B, written down once more, number by number."""
    companded = np.sign(values) * np.log1p(np.abs(values) * 100) / np.log1p(256 * 100)
    return np.minimum((np.clip(companded, -1, 1) + 1) * 512, 1023).astype(int)


@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_keys_tokenised_together_are_those_tokenised_alone(steps, seed):
    """Continuous items around others: bins are computed at once, in the right slots."""
    rng = np.random.default_rng(seed)
    observations = {
        "a": (rng.normal(size=(steps, 2, 3)) * 10.0 ** rng.integers(-4, 4)).astype(np.float32),
        "b": rng.integers(0, 1024, (steps, 2)),
        "c": rng.integers(-(2**40), 2**40, (steps,)),
        "d": rng.integers(0, 256, (steps, 16, 16, 3), dtype=np.uint8),
        "e": rng.normal(size=(steps, 1)),
    }
    kinds = ("continuous", "discrete", "continuous", "image", "continuous")
    leaves = [
        ObservationSpec(key, kind, value.shape[1:])
        for (key, value), kind in zip(observations.items(), kinds, strict=True)
    ]
    ids, patches = StepTokenizer(spec(*leaves), VOCABULARY).observation_ids(observations)
    for step in range(steps):
        a, b, c, _, e = (np.ravel(value[step]) for value in observations.values())
        floats = [(1024 + naive_bins(x.astype(np.float64))).tolist() for x in (a, c, e)]
        expected = [*floats[0], *b.tolist(), *floats[1], -1, *floats[2], 2048]
        assert ids[step].tolist() == expected
    np.testing.assert_array_equal(patches[:, 0], observations["d"])
    assert ids.dtype == np.int32


def test_keys_must_have_the_same_number_of_steps():
    tokenizer = StepTokenizer(
        spec(ObservationSpec("a", "continuous", (1,)), ObservationSpec("b", "discrete", (1,))),
        VOCABULARY,
    )
    with pytest.raises(InvalidObservationError, match="'b' at step 7 has 1 steps, 'a' 2"):
        tokenizer.observation_ids({"a": np.zeros((2, 1)), "b": np.zeros((1, 1), int)}, 7)
