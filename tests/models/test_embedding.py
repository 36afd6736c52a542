"""Tokens -> vectors: tables, patch network, order of patches."""

import pytest
import torch

from gato_gym.config import MODELS, PAPER_PARAMETERS, model_config
from gato_gym.models.embedding import Embedding, PatchNetwork
from gato_gym.tokenizers.timestep import LOCAL_ROWS


@pytest.fixture
def embedding(model):
    return model.embedding


def embed(embedding, inputs):
    names = ("ids", "local", "patches", "pixels", "positions")
    return embedding(*(inputs[name] for name in names))


def test_sum_of_tables_and_patch_vectors(embedding, make_inputs):
    """Token by token, the naive way."""
    inputs = make_inputs(rows=2, length=10, patches=3)
    found = embed(embedding, inputs)
    mark = 0
    for row in range(2):
        for column in range(10):
            vector = embedding.local.weight[inputs["local"][row, column]]
            if inputs["ids"][row, column] >= 0:
                vector = vector + 32**0.5 * embedding.ids.weight[inputs["ids"][row, column]]
            else:
                patch = inputs["patches"][inputs["pixels"][mark]]
                vector = vector + embedding.patches(patch[None])[0]
                vector = vector + embedding.rows.weight[inputs["positions"][mark, 0]]
                vector = vector + embedding.columns.weight[inputs["positions"][mark, 1]]
                mark += 1
            torch.testing.assert_close(found[row, column], vector, rtol=1e-5, atol=1e-5)
    assert mark == 6


def test_without_patches(embedding, make_inputs):
    inputs = make_inputs(patches=0)
    expected = 32**0.5 * embedding.ids(inputs["ids"]) + embedding.local(inputs["local"])
    torch.testing.assert_close(embed(embedding, inputs), expected)


def test_patches_are_scaled_to_a_quarter(make_config):
    """0 -> -1/4 and 255 -> +1/4 before the first convolution (section 2.1)."""
    network = PatchNetwork(make_config())
    seen = []
    network.stem.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    patches = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    patches[1] = 255
    network(patches)
    assert seen[0].shape == (2, 3, 16, 16)
    assert seen[0][0].unique().tolist() == [-0.25] and seen[0][1].unique().tolist() == [0.25]


def test_patches_do_not_mix(make_config):
    network = PatchNetwork(make_config())
    patches = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    together = network(patches)
    for i in range(4):
        torch.testing.assert_close(network(patches[i : i + 1])[0], together[i])


def test_colours_and_places_inside_a_patch_matter(make_config):
    network = PatchNetwork(make_config())
    patch = torch.randint(0, 256, (1, 16, 16, 3), dtype=torch.uint8)
    vectors = [network(p) for p in (patch, patch.flip(3), patch.flip(1), patch.transpose(1, 2))]
    for i, a in enumerate(vectors):
        for b in vectors[:i]:
            assert not torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("size", MODELS)
def test_patch_network_is_below_a_million(size):
    with torch.device("meta"):
        network = PatchNetwork(model_config(size))
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    norms = [m for m in network.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == [32, 32]


@pytest.mark.parametrize("size", PAPER_PARAMETERS)
def test_tables(size):
    config = model_config(size)
    with torch.device("meta"):
        embedding = Embedding(config)
    assert embedding.ids.weight.shape == (33_025, config.width)
    assert embedding.local.weight.shape == (LOCAL_ROWS, config.width) == (514, config.width)
    assert embedding.rows.weight.shape == embedding.columns.weight.shape == (128, config.width)
