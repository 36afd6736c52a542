"""The decoder: who sees whom, and the shapes of the paper."""

import pytest
import torch
from torch.nn import functional

from gato_gym.config import MODELS, PAPER_PARAMETERS, ModelConfig, model_config
from gato_gym.models.attention import attention, query_attention, visible_mask
from gato_gym.models.gato import Gato, rotary_angles, rotate

# Blocks, width, heads, feed-forward of Table 5, and what ours count to.
PAPER = {
    "1.2b": (24, 2048, 16, 8192, 1_076_650_448),
    "364m": (12, 1536, 12, 6144, 335_574_480),
    "79m": (8, 768, 24, 3072, 73_442_256),
}


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@torch.no_grad()
def run(model, inputs, **changes):
    return model(**(inputs | changes))


@pytest.mark.parametrize("documents", [1, 3])
def test_changing_a_token_moves_nothing_before_it(model, make_inputs, documents):
    inputs = make_inputs(rows=1, patches=0, documents=documents)
    before = run(model, inputs)
    for i in range(24):
        ids = inputs["ids"].clone()
        ids[0, i] = (ids[0, i] + 1) % 2049
        moved = (run(model, inputs, ids=ids) - before).abs().amax(-1)[0]
        first = inputs["first_visible"][0]
        sees = (torch.arange(24) >= i) & (first <= i)
        assert (moved[~sees] < 1e-6).all()
        assert (moved[sees] > 1e-6).all()


def test_changing_a_patch_moves_nothing_before_it(model, make_inputs):
    inputs = make_inputs(rows=1)
    before = run(model, inputs)
    places = (inputs["ids"][0] == -1).nonzero().squeeze(1).tolist()
    for mark, place in enumerate(places):
        patches = inputs["patches"].clone()
        patches[inputs["pixels"][mark]] = 255 - patches[inputs["pixels"][mark]]
        positions = inputs["positions"].clone()
        positions[mark] = 127 - positions[mark]
        for change in ({"patches": patches}, {"positions": positions}):
            moved = (run(model, inputs, **change) - before).abs().amax(-1)[0]
            assert (moved[:place] < 1e-6).all()
            assert (moved[place:] > 1e-6).all()


def test_packed_documents_equal_separate_rows(model, make_inputs):
    """Up to where they stand: rotary attention sees distances only."""
    inputs = make_inputs(rows=1, length=24, patches=0, documents=3)
    packed = run(model, inputs)
    for start in (0, 8, 16):
        alone = {name: inputs[name][:, start : start + 8] for name in ("ids", "local")}
        first = torch.zeros(1, 8, dtype=torch.long)
        close(run(model, inputs, **alone, first_visible=first), packed[:, start : start + 8], 1e-4)


def test_position_of_a_document_does_not_matter_but_order_does(model, make_inputs):
    inputs = make_inputs(rows=1, length=8, patches=0)
    swapped = inputs["ids"][:, [1, 0, *range(2, 8)]]
    local = inputs["local"][:, [1, 0, *range(2, 8)]]
    moved = run(model, inputs, ids=swapped, local=local) - run(model, inputs)
    assert moved[0, -1].abs().max() > 1e-4


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_queries_equal_the_gathered_full_logits(make_model, make_inputs, layers):
    model, inputs = make_model(layers=layers), make_inputs(documents=2)
    queries = torch.tensor([[0, 23, 5, 5, 11], [12, 1, 0, 0, 22]])
    full = run(model, inputs)
    gathered = torch.stack([full[row, queries[row]] for row in range(2)])
    close(run(model, inputs, queries=queries), gathered)


def test_queries_give_the_same_gradients(make_model, make_inputs):
    inputs = make_inputs()
    queries = torch.tensor([[3, 9, 20], [0, 1, 23]])
    gradients = []
    for path in ("full", "queries"):
        model = make_model()
        if path == "full":
            logits = model(**inputs)
            logits = torch.stack([logits[row, queries[row]] for row in range(2)])
        else:
            logits = model(**inputs, queries=queries)
        logits.logsumexp(-1).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        scale = float(expected.abs().max())
        close(gradients[1][name], expected, 1e-4 * scale + 1e-6)


def test_batch_of_two_equals_two_batches(model, make_inputs):
    inputs = make_inputs(rows=2, documents=2)
    together = run(model, inputs)
    for row in range(2):
        part = {n: inputs[n][row : row + 1] for n in ("ids", "local", "first_visible")}
        marks = slice(5 * row, 5 * row + 5)
        part |= {n: inputs[n][marks] for n in ("pixels", "positions")}
        close(run(model, inputs, **part)[0], together[row], 1e-4)


def test_numbering_of_distinct_patches_does_not_matter(model, make_inputs):
    inputs = make_inputs()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    shuffled = inputs["patches"][order]
    pixels = order.argsort()[inputs["pixels"]]
    close(run(model, inputs, patches=shuffled, pixels=pixels), run(model, inputs))


def test_order_of_patches_in_the_row_matters(model, make_inputs):
    inputs = make_inputs()
    moved = run(model, inputs, pixels=inputs["pixels"].flip(0)) - run(model, inputs)
    assert moved.abs().max() > 1e-3


@pytest.mark.parametrize("size", ["bundle", "tiny"])
def test_default_configuration_adds_local_positions(size, make_inputs):
    torch.manual_seed(0)
    model, inputs = Gato(model_config(size)).eval(), make_inputs()
    before = run(model, inputs)
    with torch.no_grad():
        table = model.embedding.local.weight
        kept = table.clone()
        a, b = inputs["local"][0, 0], inputs["local"][0, 1]
        table[a], table[b] = kept[b].clone(), kept[a].clone()
        assert (run(model, inputs) - before).abs().max() > 1e-4
        table.zero_()
        assert (run(model, inputs) - before).abs().max() > 1e-4
        table.copy_(kept)
    close(run(model, inputs), before)


def test_output_projection_is_the_id_table(model, make_inputs):
    hidden = torch.randn(3, 32)
    close(model.logits(hidden), hidden @ model.embedding.ids.weight.T)
    logits = run(model, make_inputs())
    assert logits.shape == (2, 24, 2049)
    assert not any(p.shape == (2049, 32) for n, p in model.named_parameters() if "ids" not in n)


def test_a_skipped_sub_layer_leaves_its_row_as_it_is(make_model):
    """Row by row against the block without stochastic depth; what is skipped has no gradient."""
    block = make_model(layers=1).blocks[0]
    x = torch.randn(4, 6, 32, generator=torch.Generator().manual_seed(0))
    keep = torch.tensor([[1.25, 0.0], [0.0, 1.25], [0.0, 0.0], [1.25, 1.25]])
    angles = rotary_angles(torch.arange(6)[None], 16)
    attend = attention(torch.zeros(4, 6, dtype=torch.long))
    queries = torch.tensor([[1, 5]] * 4)

    def parts(x):
        """x plus attention times a, plus feed-forward times b, by hand."""
        whole = x.clone()
        for row, (a, b) in enumerate(keep):
            one = attend.rows(torch.tensor([row]))
            seen = block(x[row : row + 1], angles, one, keep=torch.tensor([[1.0, 0.0]]))
            y = x[row : row + 1] + a * (seen - x[row : row + 1])
            gate, linear = block.up(block.norm2(y)).chunk(2, dim=-1)
            whole[row] = (y + b * block.down(functional.gelu(gate) * linear))[0]
        return whole

    with torch.no_grad():
        found = block(x, angles, attend, keep=keep)
        close(found, parts(x))
        close(found[2], x[2], 0)
        last = query_attention(torch.zeros(4, 6, dtype=torch.long), queries)
        close(block(x, angles, last, queries, keep=keep), found[:, [1, 5]])
    nothing = torch.zeros(4, 2)
    out = block(x, angles, attend, keep=nothing)
    close(out, x, 0)
    out.sum().backward()
    assert all((p.grad == 0).all() for p in block.parameters())  # zero, not none


def test_rotary_attention_depends_on_distance_only():
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 16, dtype=torch.float64)

    def score(i, j):
        a, b = (
            rotate(x, *(part.double() for part in rotary_angles(torch.tensor([n]), 16)))
            for x, n in ((query, i), (key, j))
        )
        return (a * b).sum().item()

    for distance in (0, 1, 5, 100):
        scores = [score(start + distance, start) for start in (0, 3, 77, 900)]
        assert max(scores) - min(scores) < 1e-4
    assert abs(score(5, 0) - score(1, 0)) > 1e-3
    assert score(0, 0) == pytest.approx((query * key).sum().item(), abs=1e-6)


def test_rotation_keeps_lengths():
    x = torch.randn(2, 7, 3, 16)
    close(rotate(x, *rotary_angles(torch.arange(7), 16)).norm(dim=-1), x.norm(dim=-1))


def test_visible_mask():
    mask = visible_mask(torch.tensor([[0, 0, 2, 2, 4]]))
    assert mask.shape == (1, 1, 5, 5)
    assert mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_one_block_against_a_naive_reference(make_model):
    """Attention head by head and position by position, then GEGLU."""
    block = make_model(layers=1).blocks[0]
    x = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(0))
    first = torch.tensor([[0, 0, 0, 3, 3, 3]])
    angles = rotary_angles(torch.arange(6)[None], 16)
    with torch.no_grad():
        found = block(x, angles, attention(first))[0]
        normed = functional.layer_norm(x[0], (32,), block.norm1.weight, block.norm1.bias)
        query = normed @ block.query.weight.T
        key, value = (normed @ block.key_value.weight.T).chunk(2, dim=-1)
        out = torch.zeros(6, 32)
        cos, sin = (part[0, :, 0] for part in angles)
        for head in range(2):
            part = slice(16 * head, 16 * head + 16)
            turned = []
            for y in (query[:, part], key[:, part]):
                a, b = y[:, :8], y[:, 8:]
                turned.append(torch.cat([a * cos - b * sin, a * sin + b * cos], -1))
            for i in range(6):
                seen = range(int(first[0, i]), i + 1)
                scores = torch.stack([turned[0][i] @ turned[1][j] / 4 for j in seen]).softmax(0)
                weighted = zip(scores, seen, strict=True)
                out[i, part] = sum(s * value[j, part] for s, j in weighted)
        y = x[0] + out @ block.out.weight.T
        normed = functional.layer_norm(y, (32,), block.norm2.weight, block.norm2.bias)
        gate, linear = (normed @ block.up.weight.T).chunk(2, dim=-1)
        expected = y + (functional.gelu(gate) * linear) @ block.down.weight.T
    close(found, expected)


@pytest.mark.parametrize("size", PAPER_PARAMETERS)
def test_presets_have_the_papers_shapes(size):
    layers, width, _, hidden, count = PAPER[size]
    config = model_config(size)
    with torch.device("meta"):
        model = Gato(config)
    assert (config.layers, config.width, config.heads, config.hidden) == PAPER[size][:4]
    assert (config.context, config.text_size) == (1024, 32_000)
    assert len(model.blocks) == layers
    assert model.blocks[0].up.weight.shape == (hidden, width)
    assert model.blocks[0].down.weight.shape == (width, hidden // 2)
    assert next(model.parameters()).device.type == "meta"
    print(f"{size}: {model.parameter_count():,} parameters, paper {PAPER_PARAMETERS[size]:,.0f}")
    assert model.parameter_count() == count
    # Below the paper's: most of the difference is what relative attention adds per layer.
    assert 0.9 < count / PAPER_PARAMETERS[size] < 1


@pytest.mark.parametrize("size", MODELS)
def test_parameter_count_by_hand(size):
    config = model_config(size)
    with torch.device("meta"):
        model = Gato(config)
    d, h, c, f = config.width, config.hidden, config.patch_channels, config.patch_features
    tables = (config.text_size + 1025 + 514 + 256) * d
    block = 4 * d * d + d * h + d * h // 2 + 4 * d
    patch = (48 * c + c) + 2 * (9 * c * c + c) + 4 * c + (c * f + f) + (16 * f * d + d)
    assert model.parameter_count() == tables + config.layers * block + 2 * d + patch


def test_initial_scale():
    torch.manual_seed(0)
    model = Gato(model_config("bundle"))
    expected = {"out": (2 * 4 * 192) ** -0.5, "down": (2 * 4 * 384) ** -0.5, "ids": 0.02}
    tables = dict.fromkeys(("local", "rows", "columns"), 0.02 * 192**0.5)
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            fan_in = module.weight.shape[1] ** -0.5
            std = (expected | tables).get(last, fan_in)
            assert module.weight.std().item() == pytest.approx(std, rel=0.05), name


def test_bins_start_smooth():
    """Neighbouring bins are alike, distant ones are not; text ids are independent."""
    torch.manual_seed(0)
    table = Gato(model_config("bundle")).embedding.ids.weight.detach()
    text, bins = table[:1024], table[1024:2048]
    similar = functional.cosine_similarity
    assert similar(bins[:-1], bins[1:]).min() > 0.9
    assert similar(bins[:512], bins[512:]).abs().mean() < 0.2
    assert similar(text[:-1], text[1:]).abs().max() < 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "even key size"),
        ({"width": 34, "heads": 34}, "even key size"),
        ({"hidden": 65}, "must be even"),
        ({"text_size": 1023}, "below 1024"),
        ({"patch_channels": 48}, "multiple of 32"),
        ({"stochastic_depth": 1.0}, r"must be in \[0, 1\)"),
    ],
)
def test_impossible_shapes(make_config, changes, message):
    with pytest.raises(ValueError, match=message):
        make_config(**changes)


def test_unknown_size_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown model size '79M'.*did you mean '79m'"):
        model_config("79M")


@pytest.mark.parametrize("size", MODELS)
def test_config_json_round_trip(size):
    assert ModelConfig(**model_config(size).to_json()) == model_config(size)


def test_states_are_what_goes_through_the_blocks(model, make_inputs):
    inputs = make_inputs(rows=2, documents=3)
    with torch.no_grad():
        states = list(model.states(**inputs))
        assert len(states) == model.config.layers + 1
        close(model.logits(model.norm(states[-1])), run(model, inputs))
        keys = ("ids", "local", "patches", "pixels", "positions")
        close(states[0], model.embedding(*(inputs[key] for key in keys)))
    # Each block's own output, seen from outside.
    seen = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: seen.append(out)) for block in model.blocks
    ]
    run(model, inputs)
    for hook in hooks:
        hook.remove()
    for state, output in zip(states[1:], seen, strict=True):
        close(state, output)
