"""`gato-gym bench act`: the reference acts like the agent, the figures fit together."""

import numpy as np
import pytest
import torch

from gato_gym import envs
from gato_gym.agents.gato import GatoAgent
from gato_gym.cli import act_workload, bench, measure_act
from gato_gym.cli.act_reference import Recompute
from gato_gym.cli.measure_act import Timed
from gato_gym.config import model_config
from gato_gym.errors import UnknownTaskError
from gato_gym.models.gato import Gato
from gato_gym.tokenizers.timestep import StepTokenizer

TASKS = ("CartPole-v1", "ALE/Boxing-v5", "gato_gym/BlockStacking-v0")
QUICK = ("--size", "tiny", "--rounds", 2, "--seconds", 0, "--device", "cpu")
LATENCIES = ("p50_ms", "p99_ms")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Gato(model_config("tiny")).eval()


@pytest.fixture(scope="module")
def plays():
    """Task -> its spec and observations of random play."""
    found = {}
    for task in TASKS:
        env = envs.make(task)
        found[task] = envs.task_spec(env), act_workload.observe(env, 24)
        env.close()
    return found


# the reference


@pytest.mark.parametrize("task", TASKS)
def test_the_reference_decides_like_the_agent_until_the_context_slides(task, model, plays):
    spec, observations = plays[task]
    agent = GatoAgent(model, {task: spec})
    agent.reset(task, prompt=None)
    reference = Recompute(model, StepTokenizer(spec, agent.vocabulary))
    fits = model.config.context // reference.tokenizer.tokens_per_step
    decode = reference.tokenizer.decode_action
    for obs in observations[:fits]:
        np.testing.assert_array_equal(decode(reference.act(obs)).squeeze(), agent.act(obs))
    assert reference.slid == 0 and reference.tokens == fits * reference.tokenizer.tokens_per_step
    reference.act(observations[fits])
    assert reference.slid == 1 and reference.tokens == fits * reference.tokenizer.tokens_per_step


@pytest.mark.parametrize("task", TASKS)
def test_as_deep_as_the_model_it_equals_the_whole_stream(task, model, plays):
    spec, observations = plays[task]
    tokenizer = StepTokenizer(spec, GatoAgent(model, {}).vocabulary)
    layers = model.config.layers
    plain, exact, whole = (Recompute(model, tokenizer, depth) for depth in (1, layers, 10**6))
    rng, apart = np.random.default_rng(0), []
    for obs in observations * 2:
        ids = rng.integers(*tokenizer.legal_ids.T)
        for one in (plain, exact, whole):
            one.observe(tokenizer.observe(obs))
            one.append(ids[:-1])
        few, some, all_ = (one.logits(len(ids)) for one in (plain, exact, whole))
        assert some.shape == (len(ids), model.embedding.ids.weight.shape[0])
        torch.testing.assert_close(some, all_, atol=1e-5, rtol=0)
        apart.append((few - all_).abs().max())
        for one in (plain, exact, whole):
            one.append(ids[-1:])
    context = model.config.context
    assert plain.tokens <= context < exact.tokens <= layers * context < whole.tokens
    assert apart[0] < 1e-5 and apart[-1] > 1e-4  # what fell out had been seen by what is left


# the workload


def test_a_domain_stands_for_its_first_task():
    assert act_workload.find_task("metaworld") == "Meta-World/assembly-v3"
    assert act_workload.find_task("CartPole-v1") == "CartPole-v1"
    with (
        pytest.raises(UnknownTaskError, match="CartPole-v1"),
        act_workload.open_task(bench.Options("act", task=("CartPol-v1",), size="tiny")),
    ):
        pass


def test_a_shape_of_ones_own_sees_the_papers_context():
    options = bench.Options("act", layers=4, width=256)
    assert act_workload.shape(options).context == 1024
    assert act_workload.shape(bench.Options("act", layers=4, context=96)).context == 96
    assert act_workload.shape(bench.Options("act")).context == model_config("bundle").context


def test_meta_world_takes_44_tokens_a_step():
    with act_workload.open_task(bench.Options("act", task=("metaworld",), layers=1)) as (_, env):
        tokenizer = StepTokenizer(
            envs.task_spec(env), GatoAgent(Gato(model_config("tiny")), {}).vocabulary
        )
        assert tokenizer.tokens_per_step == 44


def test_copies_are_at_different_observations():
    env = envs.make("gato_gym/BlockStacking-v0")
    observations = act_workload.observe(env, 20)
    stacked = act_workload.stacks(env, observations, 3)
    env.close()
    assert len(stacked) == 20
    for key, value in stacked[18].items():
        expected = [observations[place][key] for place in (18, 5, 12)]
        np.testing.assert_array_equal(value, expected)


def test_the_episodes_of_a_batch_end_at_different_times():
    class Watched:
        def __init__(self):
            self.starts, self.states = [], []

        def predict(self, observation, state, starts):
            self.states.append(state)
            self.starts.append(starts.copy())
            return None, len(self.states)

    agent = Watched()
    batch = act_workload.Batch(agent, ["a", "b"], 4, fill=8)
    assert len(agent.starts) == 9 and agent.states == [None, *range(1, 9)]
    assert [starts.tolist() for starts in agent.starts[:2]] == [[False] * 4, [True, *[False] * 3]]
    for _ in range(2 * act_workload.EPISODE_CONTEXTS * 8):
        batch()
    steps, rows = np.nonzero(agent.starts[9:])
    assert list(zip(steps, rows, strict=True)) == [
        (4, 0), (12, 1), (20, 2), (28, 3), (36, 0), (44, 1), (52, 2), (60, 3),
    ]  # fmt: skip


# the figures


@pytest.mark.parametrize("task", TASKS[::2])
def test_bench_act(task, run_json):
    found = run_json("bench", "act", "--task", task, *QUICK, "--batch-sizes", 1, 3)
    assert found["unit"] == "steps/s" and found["value"] > 0 and found["reference"] > 0
    assert found["ratio"] == pytest.approx(found["value"] / found["reference"], rel=0.01)
    assert list(found["batches"]) == ["1", "3"] and found["rounds"] == 2
    for one in found["batches"].values():
        assert one["speedup"] == pytest.approx(one["steps_per_second"] / found["value"], rel=0.01)
        assert 0 < one["p50_ms"] <= one["p99_ms"]
    prefixes = ["", "reference_", *(["decode_"] if found["action_numbers"] > 1 else [])]
    for prefix in prefixes:
        p50, p99 = (found[prefix + key] for key in LATENCIES)
        assert 0 < p50 <= p99
    assert ("decode_p50_ms" in found) == (task == TASKS[2])
    assert found["calls"] == {"act": 2, "reference": 2}
    assert found["recompiles_after_warm_up"] == 0
    assert found["context"] == 96 and found["precision"] == "float32" and found["device"] == "cpu"
    assert found["tokens_per_step"] == {TASKS[0]: 6, TASKS[2]: 28}[task]
    assert found["parameters"] == Gato(model_config("tiny")).parameter_count()
    assert found["weights"] == "random" and "published" not in found
    assert found["threads"] == torch.get_num_threads() and "threads" in found["machine"]
    assert found["command"] == (
        f"gato-gym bench act --task {task} --size tiny --rounds 2 --seconds 0.0 --device cpu "
        "--batch-sizes 1 3 --json"
    )


def test_a_checkpoint_is_measured_and_told(agent, run):
    threads = torch.get_num_threads()
    shape = ("--rounds", 1, "--seconds", 0, "--threads", threads + 1, "--batch-sizes", 2)
    task = ("--task", "CartPole-v1", "--checkpoint", agent)
    code, out, err = run("bench", "act", *task, *shape)
    assert code == 0, err
    first, header, *rows = out.splitlines()
    assert first.startswith("CartPole-v1: 6 tokens a step") and f"{threads + 1} threads" in first
    assert header.split() == ["steps/s", "p50", "ms", "p99", "ms"]
    names = [row[:20].strip() for row in rows]
    assert names == ["act", "reference", "predict, batch 2", "recompiles after war"]
    assert "x reference" in rows[0] and "x act" in rows[2]
    assert torch.get_num_threads() == threads


def test_before_anything_is_measured_every_context_is_full(monkeypatch):
    owners, lengths, honest = [], [], measure_act.cycled

    def cycled(decide, observations):
        owners.append(decide.__self__)
        return honest(decide, observations)

    def alternate(timed, options, wait):
        agent, recompute = owners
        lengths.extend([recompute.tokens, *agent._streams.cache.lengths])
        lengths.extend(timed[-1].call.state.cache.lengths)
        for one in timed:
            one.round(0, wait)
        return 1

    monkeypatch.setattr(measure_act, "cycled", cycled)
    monkeypatch.setattr(measure_act, "alternate", alternate)
    task = ("CartPole-v1",)
    measure_act.measure(bench.Options("act", task=task, size="tiny", batch_sizes=(3,)))
    assert len(lengths) == 5 and lengths[0] == 96 and min(lengths) >= 96


def test_a_round_is_as_long_as_it_is_told_and_waits(monkeypatch):
    clock, done = [0.0], []
    monkeypatch.setattr(measure_act.time, "perf_counter", lambda: clock[0])

    def work():
        clock[0] += 1.0

    def wait():
        clock[0] += 0.5
        done.append(clock[0])

    timed = Timed(work, steps=8)
    timed.round(4.0, wait)
    assert done == [1.5, 3.0, 4.5] and timed.rates == [8 / 1.5]
    timed.round(0.0, wait)
    assert timed.seconds == [1.5] * 4 and timed.rate == pytest.approx(8 / 1.5)
    assert measure_act.percentiles(timed.seconds, "x_") == {"x_p50_ms": 1500, "x_p99_ms": 1500}
    slow = Timed(lambda: clock.__setitem__(0, clock[0] + 30.0))
    for rounds, expected in ((None, 3), (1, 1), (4, 4)):
        options = bench.Options("act", rounds=rounds, seconds=0.0)
        assert measure_act.alternate([slow], options, lambda: None) == expected
    slow.call = lambda: clock.__setitem__(0, clock[0] + 300.0)
    assert measure_act.alternate([slow], bench.Options("act", seconds=0.0), lambda: None) == 2


def test_compiling_and_capturing_are_counted():
    class Decoder:
        captures = 0

    decoder = Decoder()
    before = measure_act.compiled(decoder)
    compiled = torch.compile(lambda x: x + 1, backend="eager", dynamic=False)
    for size in (2, 3, 3):
        compiled(torch.ones(size))
    assert measure_act.compiled(decoder) == before + 2
    decoder.captures = 3
    assert measure_act.compiled(decoder) == before + 5


# wrong use


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("act", "--batch-sizes", 0), "--batch-sizes must be at least 1, got [0]"),
        (("act", "--threads", 0), "--threads must be at least 1, got 0"),
        (("act", "--checkpoint", "bundled", "--size", "79m"), "--size is for random weights"),
        (("act", "--checkpoint", "bundled", "--layers", 2), "--layers is for random weights"),
        (("act", "--checkpoint", "no/such", "--task", "CartPole-v1"), "no/such"),
        (("act", "--batch", 4), "--batch is for bench train, not for bench act"),
        (("act", "--task", "CartPol-v1", "--size", "tiny"), "CartPole-v1"),
        (("act", "--task", "CartPole-v1", "--size", "tiny", "--context", 4), "these weights see 4"),
        (("act", "--device", "tpu"), "tpu"),
        (("env", "--precision", "int8"), "--precision is for bench act, not for bench env"),
        (("data", "--batch-sizes", 2), "--batch-sizes is for bench act"),
        (("train", "--threads", 2), "--threads is for bench act, not for bench train"),
        (("collect", "--layers", 2), "--layers is for bench train and act"),
    ],
)
def test_wrong_use(arguments, told, fails):
    assert told in fails("bench", *arguments)
