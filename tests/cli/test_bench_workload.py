"""What `gato-gym bench train` trains: tasks by name or domain, shapes of one's own, wrong use."""

from pathlib import Path

import pytest

from gato_gym.cli import bench, bench_report, bench_workload
from gato_gym.cli.bench_workload import build_model_config, choose
from gato_gym.envs import task_spec
from gato_gym.errors import UnknownTaskError

DOMAINS = {"a-1": "grid", "a-2": "grid", "a-3": "grid", "b-1": "meta_world", "c": "other"}


def test_shares_are_equal_for_each_name():
    assert choose((), DOMAINS) == pytest.approx(
        {"a-1": 1 / 9, "a-2": 1 / 9, "a-3": 1 / 9, "b-1": 1 / 3, "c": 1 / 3}
    )
    assert choose(("metaworld,c",), DOMAINS) == {"b-1": 0.5, "c": 0.5}
    assert choose(("grid", "a-1"), DOMAINS, per_domain=2) == {"a-1": 0.75, "a-3": 0.25}
    with pytest.raises(UnknownTaskError, match=r"'gird' is no task or domain.*'grid'"):
        choose(("gird",), DOMAINS)


def test_the_default_mixture_is_of_three_domains():
    domains = {}
    for task, share in bench_workload.MIXTURE.items():
        domain = bench_workload.domain_of(task)
        domains[domain] = domains.get(domain, 0) + share
    assert domains == pytest.approx(dict.fromkeys(("manipulation", "atari", "babyai"), 1 / 3))


def test_meta_world_is_observed_as_its_other_users_see_it():
    env = bench_workload.make_env("Meta-World/reach-v3")
    (leaf,) = task_spec(env).observations
    assert leaf.shape == (39,)  # with a separator and 4 action numbers, 44 tokens
    env.close()


def test_a_shape_of_ones_own():
    config = build_model_config(bench.Options("train", layers=4, width=256))
    assert (config.layers, config.width, config.heads, config.hidden) == (4, 256, 4, 1024)
    assert build_model_config(bench.Options("train", width=96)).heads == 1
    config = build_model_config(bench.Options("train", size="79m", context=512))
    assert (config.heads, config.hidden, config.context) == (24, 3072, 512)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("train", "--task", "CartPol-v1"), "'CartPole-v1'"),
        (("train", "--layers", "0"), "--layers must be at least 1, got 0"),
        (("train", "--batch", "0"), "batch must be at least 1"),
        (("train", "--task", "CartPole-v1", "--size", "tiny", "--context", "4"), "context of 4"),
        (("train", "--rounds", "0"), "--rounds must be at least 1"),
        (("train", "--corpus", "no/such"), "no/such"),
        (("env", "--layers", "2"), "--layers is for bench train"),
        (("act", "--task", "a", "--task", "b"), "takes one --task"),
    ],
)
def test_wrong_use(arguments, told, fails):
    assert told in fails("bench", *arguments)


def test_the_plain_reference_is_in_the_package():
    assert Path(bench_report.__file__).with_name("plain_reference.py").exists()
