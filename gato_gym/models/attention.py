"""Who sees whom, and an exact way to compute it that does no work for what is not seen.

One rule for everything: a token sees positions first_visible..itself. Packed documents, a sliding
context and a full recomputation differ only in `first_visible`.

- `DocumentAttention`, on a CPU, where first_visible is the start of the token's document: one fused
  causal call per document, so nothing is spent on other documents or on the future
- `FlexAttention`, on CUDA: the same, as a block mask of FlexAttention
- `MaskedAttention`, everywhere else: fused attention under a boolean mask; for short rows in
  bfloat16, compiled for a CPU, by blocks of queries

Shapes: B rows, L tokens, Q queries, C keys, H heads, K key size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

logger = logging.getLogger(__name__)

# Tokens times heads of a document up to which `ShortAttention` takes it: it then keeps less than
# 8 KB per token and block.
SHORT = 2048

# Queries in a block of compiled attention on a CPU: its scores then stay in the cache.
COMPILED_BLOCK = 80


class Attention(Protocol):
    """Attention under one visibility."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, H, Q, K), (B, H, C, K), (B, H, C, K) -> (B, H, Q, K)."""

    def rows(self, index: Tensor) -> Attention:
        """The same of some rows only."""


class MaskedAttention:
    """Under a mask (B, 1, Q, C), True where a query may see a key.

    `causal` promises that query i is position i of the row: it sees no later key. It is not so of
    chosen queries, even where there are as many as keys.
    """

    def __init__(self, mask: Tensor, causal: bool = False) -> None:
        self.mask, self.causal = mask, causal

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `Attention`."""
        heads, queries = query.shape[1:3]
        if (
            torch.compiler.is_compiling()
            and query.device.type == "cpu"
            and query.dtype == torch.bfloat16
            and self.causal
            and heads * queries <= SHORT
        ):
            return self._in_blocks(query, key, value)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=self.mask)

    def _in_blocks(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Blocks of queries, each with the keys up to its last.

        What the compiler makes of it keeps the weights for the backward pass, where PyTorch's fused
        kernel computes them again (`benchmarks/compiled_attention.py`).
        """
        length, attended = query.shape[2], []
        query = query * query.shape[3] ** -0.5
        size = -(-length // -(-length // COMPILED_BLOCK))
        for start in range(0, length, size):
            rows = slice(start, min(start + size, length))
            seen = slice(0, rows.stop)
            scores = query[:, :, rows] @ key[:, :, seen].mT
            scores = torch.where(self.mask[:, :, rows, seen], scores, -torch.inf)
            attended.append(scores.softmax(-1).to(value.dtype) @ value[:, :, seen])
        return torch.cat(attended, dim=2)

    def rows(self, index: Tensor) -> MaskedAttention:
        """See `Attention`."""
        return MaskedAttention(self.mask[index], self.causal)


class DocumentAttention:
    """Each document of each row on its own.

    Args:
        lengths: per row the lengths of its documents, which fill it.
    """

    def __init__(self, lengths: list[list[int]]) -> None:
        self.lengths = lengths
        self._parts: list[int] = []
        for length in (length for row in lengths for length in row):
            # What sees only itself is padding: its value is all that it attends to.
            if length == 1 and self._parts and self._parts[-1] <= 0:
                self._parts[-1] -= 1
            else:
                self._parts.append(-1 if length == 1 else length)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `Attention`; Q = C = L."""
        rows = len(query)
        sizes = [abs(part) for part in self._parts]
        split = [x.transpose(1, 2).flatten(0, 1).split(sizes) for x in (query, key, value)]
        attended = [
            _causal(*document) if part > 0 else document[2]
            for part, *document in zip(self._parts, *split, strict=True)
        ]
        return torch.cat(attended).unflatten(0, (rows, -1)).transpose(1, 2)

    def rows(self, index: Tensor) -> DocumentAttention:
        """See `Attention`."""
        return DocumentAttention([self.lengths[row] for row in index.tolist()])


def _causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Of one document: three times (L, H, K) -> (L, H, K)."""
    if query.shape[0] * query.shape[1] <= SHORT:
        attended: Tensor = ShortAttention.apply(query, key, value)
        return attended
    query, key, value = (x.transpose(0, 1)[None] for x in (query, key, value))
    attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    return attended[0].transpose(0, 1)


class ShortAttention(torch.autograd.Function):
    """Causal attention of a short document: matrix products of blocks of queries and what they see.

    PyTorch's fused kernel for CPUs computes the scores again in the backward pass; these are few
    enough to keep, which is about a fifth faster at 308 tokens (`gato-gym bench train`).
    """

    BLOCK = 128

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Three times (L, H, K) -> (L, H, K)."""
        attended = torch.empty_like(query)
        q, k, v, out = (x.transpose(0, 1) for x in (query, key, value, attended))
        kept = []
        for rows, seen in ShortAttention._blocks(len(query)):
            scores = q[:, rows] @ k[:, seen].transpose(1, 2)
            size = rows.stop - rows.start
            future = scores.new_full((size, size), -torch.inf).triu_(1)
            scores[:, :, rows].add_(future)
            weights = scores.mul_(query.shape[2] ** -0.5).softmax(-1)
            out[:, rows] = weights @ v[:, seen]
            kept.append(weights)
        ctx.save_for_backward(query, key, value, *kept)
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]  # one output
        """Gradients of all three."""
        query, key, value, *kept = ctx.saved_tensors
        found = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        q, k, v, g = (x.transpose(0, 1) for x in (query, key, value, gradient))
        by_query, by_key, by_value = (x.transpose(0, 1) for x in found)
        blocks = ShortAttention._blocks(len(query))
        for weights, (rows, seen) in zip(kept, blocks, strict=True):
            by_weight = g[:, rows] @ v[:, seen].transpose(1, 2)
            by_score = torch._softmax_backward_data(by_weight, weights, -1, weights.dtype)
            by_score.mul_(query.shape[2] ** -0.5)
            by_query[:, rows] = by_score @ k[:, seen]
            by_key[:, seen] += by_score.transpose(1, 2) @ q[:, rows]
            by_value[:, seen] += weights.transpose(1, 2) @ g[:, rows]
        return found

    @staticmethod
    def _blocks(length: int) -> list[tuple[slice, slice]]:
        """Rows of queries, and the keys up to the last of them."""
        size = ShortAttention.BLOCK
        starts = range(0, length, size)
        return [(slice(i, min(i + size, length)), slice(0, min(i + size, length))) for i in starts]


class FlexAttention:
    """Under a block mask: blocks that nothing sees are skipped.

    On CUDA it is compiled by itself, also where the block around it is compiled: that is what
    `flex_works` has tried. Within one graph with the rotation before it, the code that PyTorch 2.13
    makes for a CPU gives wrong numbers.
    """

    def __init__(self, first_visible: Tensor) -> None:
        self.first_visible, self.mask = first_visible, flex_mask(first_visible)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `Attention`; Q = C = L."""
        return _apart(self._attend, query, key, value)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attend: Callable[..., Any] = flex_attention
        if query.is_cuda:
            attend = _compiled(attend)
        attended = attend(query, key, value, block_mask=self.mask)
        assert isinstance(attended, Tensor)
        return attended

    def rows(self, index: Tensor) -> FlexAttention:
        """See `Attention`."""
        return FlexAttention(self.first_visible[index])


@torch.compiler.disable(recursive=False)
def _apart(attend: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Call what the graph around it must not take in."""
    return attend(*inputs)


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def attention(first_visible: Tensor, kind: str | None = None) -> Attention:
    """The fastest attention for (B, L) first visible positions.

    Args:
        first_visible: int64, the first position of the row that each token may see.
        kind: "documents", "flex" or "masked"; None chooses.
    """
    if kind is None:
        kind = "documents"
        if first_visible.is_cuda:
            kind = "flex" if flex_works() else "masked"
    if kind == "documents":
        lengths = document_lengths(first_visible)
        if lengths is not None:
            return DocumentAttention(lengths)
    if kind == "flex":
        return FlexAttention(first_visible)
    return MaskedAttention(visible_mask(first_visible), causal=True)


def query_attention(first_visible: Tensor, queries: Tensor) -> MaskedAttention:
    """Attention of the positions `queries` (B, Q) only; there are few of them."""
    columns = torch.arange(first_visible.shape[1], device=first_visible.device)
    first = first_visible.gather(1, queries)[:, :, None]
    return MaskedAttention(((columns <= queries[:, :, None]) & (columns >= first))[:, None])


def visible_mask(first_visible: Tensor) -> Tensor:
    """(B, L) first visible positions -> (B, 1, L, L), True where a row may see a column."""
    index = torch.arange(first_visible.shape[1], device=first_visible.device)
    mask = (index <= index[:, None]) & (index >= first_visible[:, :, None])
    return mask[:, None]


def document_lengths(first_visible: Tensor) -> list[list[int]] | None:
    """Per row the lengths of its documents; None where some token sees less than its document."""
    index = torch.arange(first_visible.shape[1], device=first_visible.device)
    starts = first_visible == index
    # The start of the document that each token stands in.
    expected = torch.where(starts, index, 0).cummax(dim=1).values
    if not torch.equal(expected, first_visible):
        return None
    ends = [[*row.nonzero().flatten().tolist(), len(row)] for row in starts]
    return [[end - start for start, end in pairwise(row)] for row in ends]


def flex_mask(first_visible: Tensor) -> BlockMask:
    """(B, L) first visible positions -> the block mask of FlexAttention."""

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (key >= first_visible[row, query])

    rows, length = first_visible.shape
    build = _compiled(create_block_mask) if first_visible.is_cuda else create_block_mask
    mask = build(sees, rows, None, length, length, device=first_visible.device.type)
    assert isinstance(mask, BlockMask)
    return mask


@cache
def flex_works() -> bool:
    """Whether FlexAttention compiles here, forward and backward, and agrees with the mask.

    It is the fastest way on a GPU, and the one whose compilation depends most on driver, Triton and
    card. Asked once, on a problem of one block.
    """
    try:
        device = torch.device("cuda")
        first = torch.zeros(1, 256, dtype=torch.long, device=device)
        first[:, 100:] = 100
        shape = 1, 256, 2, 32  # heads last, as the blocks have them
        inputs = [torch.randn(shape, device=device, dtype=torch.bfloat16) for _ in range(3)]
        results = []
        for kind in ("flex", "masked"):
            leaves = [x.clone().requires_grad_() for x in inputs]
            attended = attention(first, kind)(*(leaf.transpose(1, 2) for leaf in leaves))
            attended.float().square().sum().backward()
            results.append([attended, *(leaf.grad for leaf in leaves)])
        for flex, masked in zip(*results, strict=True):
            torch.testing.assert_close(flex, masked, rtol=0.05, atol=0.05)
    except Exception as error:  # a compiler raises what it likes; every reason has one consequence
        logger.warning("FlexAttention does not work here, masks take its place: %s", error)
        return False
    return True
