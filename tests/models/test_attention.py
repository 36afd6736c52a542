"""Every way to compute attention sees the same, and passes the same gradients back."""

import pytest
import torch

from gato_gym.models.attention import (
    DocumentAttention,
    MaskedAttention,
    ShortAttention,
    attention,
    document_lengths,
    query_attention,
    visible_mask,
)

DOCUMENTS = [[5, 7, 4], [16], [1, 1, 3, 9, 1, 1], [2] * 8]


def first_visible(documents):
    rows = []
    for row in documents:
        start, values = 0, []
        for length in row:
            values += [start] * length
            start += length
        rows.append(values)
    return torch.tensor(rows)


def naive(query, key, value, mask):
    scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ value


def leaves(rows=4, length=16):
    generator = torch.Generator().manual_seed(0)
    shape = (rows, length, 3, 8)  # the layout of the blocks: heads last
    return [torch.randn(shape, generator=generator).requires_grad_() for _ in range(3)]


def with_gradients(attend, inputs):
    attended = attend(*(x.transpose(1, 2) for x in inputs))
    if not attended.requires_grad:
        return [attended]
    weights = torch.linspace(-1, 1, attended.numel()).view(attended.shape)
    return [attended, *torch.autograd.grad((attended * weights).sum(), inputs)]


@pytest.mark.parametrize("length", [2, 127, 128, 129, 300])
def test_short_documents_by_blocks_against_a_naive_reference(length):
    inputs = leaves(rows=1, length=length)
    mask = visible_mask(torch.zeros(1, length, dtype=torch.long))

    def short(*heads_first):
        documents = (x[0].transpose(0, 1) for x in heads_first)
        return ShortAttention.apply(*documents).transpose(0, 1)[None]

    found = with_gradients(short, inputs)
    expected = with_gradients(lambda q, k, v: naive(q, k, v, mask), inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings(  # of torch.compile itself
    "ignore:`torch.jit.script_method` is deprecated", "ignore:The .grad attribute of a Tensor"
)
@pytest.mark.parametrize("length", [7, 80, 161])
def test_compiled_attention_by_blocks_against_the_fused_kernel(length):
    """In bfloat16, which has 8 bits; documents end within blocks."""
    mask = visible_mask(
        first_visible([[3, length - 3], [length - 1, 1], [length], [1, length - 1]])
    )
    masked = MaskedAttention(mask, causal=True)
    inputs = [leaf.detach().bfloat16().requires_grad_() for leaf in leaves(length=length)]
    torch.compiler.reset()
    found = with_gradients(torch.compile(masked), inputs)
    expected = with_gradients(masked, inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script_method` is deprecated", "ignore:The .grad attribute of a Tensor"
)
def test_chosen_queries_may_be_as_many_as_keys_in_any_order():
    length = 96
    first = torch.zeros(4, length, dtype=torch.long)
    chosen = query_attention(first, torch.arange(length).flip(0).expand(4, -1).contiguous())
    inputs = [leaf.detach().bfloat16() for leaf in leaves(length=length)]
    query, key, value = (x.transpose(1, 2) for x in inputs)
    torch.compiler.reset()
    found, expected = (call(query, key, value) for call in (torch.compile(chosen), chosen))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("short", [0, 20, 1 << 20])
def test_documents_of_any_length(short, monkeypatch):
    """By the fused kernel, by blocks, or some by each."""
    monkeypatch.setattr("gato_gym.models.attention.SHORT", short)
    test_every_kind_against_a_naive_reference("documents")


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", ["documents", "masked", "flex"])
def test_every_kind_against_a_naive_reference(kind):
    first = first_visible(DOCUMENTS)
    mask = visible_mask(first)
    attend, inputs = attention(first, kind), leaves()
    if kind == "flex":  # has no backward pass on a CPU
        inputs = [x.detach() for x in inputs]
    found = with_gradients(attend, inputs)
    expected = with_gradients(lambda q, k, v: naive(q, k, v, mask), inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_document_lengths():
    assert document_lengths(first_visible(DOCUMENTS)) == DOCUMENTS
    sliding = torch.tensor([[0, 0, 0, 1, 2, 3]])  # sees three tokens back: no document
    assert document_lengths(sliding) is None
    assert isinstance(attention(sliding), MaskedAttention)
    assert isinstance(attention(first_visible(DOCUMENTS)), DocumentAttention)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_rows_of_an_attention():
    first = first_visible(DOCUMENTS)
    index = torch.tensor([2, 0])
    inputs = [x.detach().transpose(1, 2) for x in leaves()]
    for kind in ("documents", "masked", "flex"):
        attend = attention(first, kind)
        some = attend.rows(index)(*(x[index] for x in inputs))
        torch.testing.assert_close(some, attend(*inputs)[index], rtol=0, atol=1e-6)


def test_queries_see_what_their_positions_see():
    first = first_visible(DOCUMENTS)
    queries = torch.tensor([[0, 4, 5], [15, 3, 0], [2, 2, 13], [1, 0, 9]])
    query, key, value = (x.detach().transpose(1, 2) for x in leaves())
    whole = attention(first)(query, key, value)
    rows = torch.arange(4)[:, None]
    picked = query.transpose(1, 2)[rows, queries].transpose(1, 2)
    found = query_attention(first, queries)(picked, key, value)
    expected = whole.transpose(1, 2)[rows, queries].transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
