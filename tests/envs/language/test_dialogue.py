"""text/dialogue: the expert is always right, parrots are not, and a seed decides everything."""

from collections import Counter, defaultdict
from functools import cache

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gato_gym
from gato_gym.envs.language.chat_picture import Utterance, draw_chat
from gato_gym.envs.language.dialogue import DialogueEnv, dialogue_turns, is_right
from gato_gym.envs.language.dialogue_plan import dialogue
from gato_gym.tokenizers.default_text import default_text

TRAINING = range(10_000, 10_400)
EVALUATION = range(7000, 7200)


@cache
def turns(seeds):
    return [turn for seed in seeds for turn in dialogue(seed)]


def played(env, seed, reply):
    """(observations, rewards, infos) of a conversation in which `reply(env)` speaks."""
    obs, _ = env.reset(seed=seed)
    seen, rewards, infos, over = [obs], [], [], False
    while not over:
        obs, reward, over, truncated, info = env.step(reply(env))
        assert not truncated
        seen.append(obs)
        rewards.append(reward)
        infos.append(info)
    return seen, rewards, infos


def test_gymnasium_accepts_it():
    check_env(DialogueEnv("rgb_array"), skip_render_check=True)


@pytest.mark.parametrize("seeds", [TRAINING[:60], EVALUATION[:60]], ids=["training", "evaluation"])
def test_the_expert_is_right_at_every_turn(seeds):
    env = DialogueEnv()
    for seed in seeds:
        seen, rewards, infos = played(env, seed, lambda env: env.reference)
        assert set(rewards) == {1.0} and 3 <= len(rewards) <= 6
        assert all(env.observation_space.contains(obs) for obs in seen)
        assert seen[-1] == seen[-2], "after the end the last question stands"
        for info, turn in zip(infos, env.turns, strict=True):
            assert info == {
                "success": True,
                "reference": turn.reply,
                "source": turn.source,
                "kind": turn.kind,
                "held_out": turn.held_out,
            }
            assert env.action_space.contains(turn.reply)


def test_it_is_a_task_of_the_suite():
    env = gato_gym.make("text/dialogue", tokenize=False)
    _, rewards, _ = played(env, 10_007, lambda env: env.unwrapped.reference)
    assert set(rewards) == {1.0}


def test_a_seed_decides_everything():
    one, other = DialogueEnv(), DialogueEnv()
    first = played(one, 7003, lambda env: env.reference)
    played(other, 7004, lambda env: "i do not know")
    again = played(other, 7003, lambda env: env.reference)
    assert first == again
    assert dialogue_turns([7003]) == [[(t.text, t.reply) for t in one.turns]]
    assert dialogue(np.int64(7003)) == dialogue(7003)


def test_who_told_everything_is_asked_about_something_else():
    kinds = [turn.kind for turn in dialogue(18_418)]
    assert {"tell_colour", "tell_number"} <= set(kinds)  # the name was told with the greeting
    _, rewards, _ = played(DialogueEnv(), 18_418, lambda env: env.reference)
    assert set(rewards) == {1.0}


def test_case_does_not_count():
    for turn in turns(TRAINING[:100]):
        assert is_right(turn.reply.upper(), turn) and is_right(turn.reply.title(), turn)


def test_only_the_letters_of_the_action_space_count():
    env = DialogueEnv()
    env.reset(seed=7000)
    assert env.step(env.reference.rjust(240, "!"))[1] == 1.0
    env.reset(seed=7000)
    assert env.step("!" * 240 + env.reference)[1] == 0.0
    env.reset(seed=7000)
    assert env.step(env.reference.ljust(240, "!") + " no, 999")[1] == 1.0


def test_without_a_seed_it_draws_conversations_of_training():
    env = DialogueEnv()
    env.reset(seed=1)
    drawn = []
    for _ in range(40):
        env.reset()
        assert not any(turn.held_out for turn in env.turns)
        drawn.append(env.turns)
    assert len(set(drawn)) == 40


def test_evaluation_asks_what_training_never_does():
    assert not any(turn.held_out for turn in turns(TRAINING))
    for seed in EVALUATION:
        held = [turn.held_out for turn in dialogue(seed)]
        assert 2 * sum(held) >= len(held)


@pytest.mark.parametrize(
    "reply", ["", "i do not know", "yes", "hello! goodbye!", "[(])\\", "\N{SNOWMAN}" * 99]
)
def test_empty_words_are_wrong_nearly_always(reply):
    assert np.mean([is_right(reply, turn) for turn in turns(EVALUATION)]) < 0.05


def test_the_most_frequent_reply_of_a_topic_is_rarely_right():
    said: dict[str, Counter[str]] = {}
    for turn in turns(TRAINING):
        said.setdefault(turn.source, Counter())[turn.reply] += 1
    assert len(said) == 8
    right = {
        topic: np.mean([is_right(counts.most_common(1)[0][0], t) for t in turns(EVALUATION)
                        if t.source == topic])
        for topic, counts in said.items()
    }  # fmt: skip
    assert max(right.values()) < 0.35, right
    assert right["tasks"] < 0.1, right


def test_all_answers_at_once_are_wrong():
    said: dict[str, set[str]] = defaultdict(set)
    for turn in turns(TRAINING):
        said[turn.kind].add(turn.reply)
    for turn in turns(EVALUATION):
        if turn.kind in ("domain", "actions", "id", "verb", "moved", "meaning"):
            assert not is_right(" ".join(sorted(said[turn.kind])), turn)


def test_the_context_is_needed():
    """The same words get different right answers, for what was said before differs."""
    answers: dict[str, set] = {}
    for turn in turns(TRAINING):
        answers.setdefault(turn.text, set()).add(turn.answer.required)
    assert sum(len(right) > 1 for right in answers.values()) > 60


def test_other_questions_leave_nothing_to_know():
    """An agent that knows every answer, and hears other questions."""
    known = {turn.text: turn.reply for turn in turns(TRAINING)}
    env = DialogueEnv(shuffled=True)
    rewards = []
    for seed in EVALUATION[:80]:
        shown, right, _ = played(env, seed, lambda env: known.get(env._observe()["text"], ""))
        assert [obs["text"] for obs in shown[:-1]] != [turn.text for turn in env.turns]
        rewards += right
    assert np.mean(rewards) < 0.05


def test_texts_are_short():
    text, everything = default_text(), turns(TRAINING) + turns(EVALUATION)
    assert max(len(text.encode(turn.text)) for turn in everything) < 64
    assert max(len(text.encode(turn.reply)) for turn in everything) < 80


def test_wrong_use_is_told():
    with pytest.raises(ValueError, match=r"render_mode='human' is unknown; expected None"):
        DialogueEnv("human")
    env = DialogueEnv()
    with pytest.raises(RuntimeError, match="reset"):
        env.step("hello")
    with pytest.raises(RuntimeError, match="reset"):
        _ = env.reference
    env.reset(seed=7000)
    with pytest.raises(TypeError, match="a reply is a string, got 3"):
        env.step(3)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None
    for _ in env.turns:
        env.step("hello")
    with pytest.raises(RuntimeError, match="over"):
        env.step("hello")


def test_the_picture_shows_what_was_said():
    env = gymnasium.make("text/dialogue", render_mode="rgb_array")
    env.reset(seed=7001)
    before = env.render()
    assert before.shape == (360, 480, 3) and before.dtype == np.uint8
    env.step(env.unwrapped.reference)
    after = env.render()
    assert (before != after).any()
    env.step("x" * 100_000)
    assert (env.render() != after).any()


def test_bubbles_stand_on_their_speakers_side_and_tell_right_from_wrong():
    def coloured(*said):
        picture = draw_chat(said, 240, 160).astype(int)
        return np.ptp(picture, axis=2) > 20  # paper and ink are grey

    user = coloured(Utterance("hello"))
    assert user[:, :120].any() and not user[:, 120:].any()
    right, wrong = (draw_chat([Utterance("hello", r)], 240, 160) for r in (True, False))
    assert (right[:, :120] == right[0, 0]).all() and (right != wrong).any()
    tall = draw_chat([Utterance("word " * 40), Utterance("end", True)], 240, 160)
    assert (tall[0] != right[0, 0]).any(), "the oldest words leave at the top"
