"""Attention blocks on sequences ``(N, T, C)``: ways to make, share, rotate and score heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.norms import layer_norm

# Longest sequence for which rotary tables hold angles.
TABLE_ROWS = 64


@dataclass(frozen=True, slots=True)
class Heads:
    """Number of heads ``h`` and the width ``d`` of each."""

    h: int
    d: int

    @property
    def width(self) -> int:
        """h * d."""
        return self.h * self.d


def attention_separate(c: Canvas, x: str) -> str:
    """Queries, keys and values from one matrix each."""
    y, heads = _start(c, x)
    q, k, v = (_heads_first(c, _rows(c, c.linear(y, heads.width), heads)) for _ in range(3))
    return _finish(c, x, _attend(c, q, k, v), heads)


def attention_fused(c: Canvas, x: str) -> str:
    """Queries, keys and values from one matrix, its columns ordered in one of four ways."""
    y, heads = _start(c, x)
    q, k, v = _fused(c, c.linear(y, 3 * heads.width), heads)
    return _finish(c, x, _attend(c, q, k, v), heads)


def attention_grouped_queries(c: Canvas, x: str) -> str:
    """Fewer heads of keys and values than of queries; each is repeated."""
    y, shared = _start(c, x)
    repeats = c.number(2, 3)
    heads = Heads(shared.h * repeats, shared.d)
    q = _heads_first(c, _rows(c, c.linear(y, heads.width), heads))
    form = c.variant("repeat", "expand", "computed_expand", "concat", "tile")
    k, v = (
        _repeat(c, _rows(c, c.linear(y, shared.width), shared), shared, repeats, form)
        for _ in range(2)
    )
    return _finish(c, x, _attend(c, q, k, v), heads)


def attention_rotary(c: Canvas, x: str) -> str:
    """Queries and keys rotated by position: halves sliced, one negated, swapped, added."""
    y, heads = _start(c, x, even=True)
    q, k, v = (_heads_first(c, _rows(c, c.linear(y, heads.width), heads)) for _ in range(3))
    cosine, sine = _rotary_tables(c, x, heads.d)
    q, k = (_rotate(c, part, heads.d, cosine, sine) for part in (q, k))
    return _finish(c, x, _attend(c, q, k, v), heads)


def attention_einsum(c: Canvas, x: str) -> str:
    """Scores, mixture and sometimes projections by Einsum."""
    g, (y, heads) = c.graph, _start(c, x)
    if c.variant("einsum", "projections", "products") == "projections":
        shape = (c.features(y), heads.h, heads.d)
        weights = [c.weight(shape, fan_in=shape[0]) for _ in range(3)]
        q, k, v = (g.einsum("btc,chd->bthd", y, weight) for weight in weights)
    else:
        q, k, v = (_rows(c, c.linear(y, heads.width), heads) for _ in range(3))
    scores = g.mul(g.einsum("bthd,bshd->bhts", q, k), g.constant(heads.d**-0.5))
    mixed = g.einsum("bhts,bshd->bthd", g.softmax(scores, 3), v)
    if c.chance(0.5):
        out = c.weight((heads.h, heads.d, c.features(x)), fan_in=heads.width)
        return g.add(x, g.einsum("bthd,hdc->btc", mixed, out))
    return g.add(x, c.linear(_merge(c, mixed, heads), c.features(x)))


def attention_cross(c: Canvas, x: str) -> str:
    """Keys and values from a further graph input with its own length and width."""
    y, heads = _start(c, x)
    context = c.input("context", "S" if c.symbolic else 3, c.width(most=12))
    q, k, v = (
        _heads_first(c, _rows(c, c.linear(part, heads.width), heads))
        for part in (y, context, context)
    )
    return _finish(c, x, _attend(c, q, k, v), heads)


def attention_normalised(c: Canvas, x: str) -> str:
    """Queries and keys pass a layer norm over each head's width."""
    y, heads = _start(c, x)
    q, k, v = (_rows(c, c.linear(y, heads.width), heads) for _ in range(3))
    q, k = (layer_norm(c, part) for part in (q, k))
    q, k, v = (_heads_first(c, part) for part in (q, k, v))
    return _finish(c, x, _attend(c, q, k, v), heads)


def attention_masked(c: Canvas, x: str) -> str:
    """Scores with a learnt bias per head and pair of tokens, and a causal mask."""
    y, heads = _start(c, x)
    tokens = c.shape(x)[1]
    q, k, v = _fused(c, c.linear(y, 3 * heads.width), heads)
    bias = c.graph.weight(heads.h, tokens, tokens, fan_in=4)
    mask = np.tril(np.ones((tokens, tokens), bool))
    return _finish(c, x, _attend(c, q, k, v, bias=bias, mask=mask), heads)


def attention_of_pixels(c: Canvas, x: str) -> str:
    """Attention between the pixels of an image ``(N, C, H, W)``."""
    channels, height, width = c.shape(x)[1:]
    tokens = c.graph.transpose(c.reshape(x, [Copy(0), channels, -1]), 0, 2, 1)
    y = c.graph.transpose(attention_fused(c, tokens), 0, 2, 1)
    return c.reshape(y, [Copy(0), channels, height, width])


def attention_in_windows(c: Canvas, x: str) -> str:
    """Swin: attention inside 2x2 windows of the pixels, windows counted as batch."""
    channels, height, width = c.shape(x)[1:]
    y = c.graph.pad(x, {2: (0, height % 2), 3: (0, width % 2)})
    rows, columns = (height + 1) // 2, (width + 1) // 2
    y = c.graph.transpose(y, 0, 2, 3, 1)
    y = c.reshape(y, [Copy(0), rows, 2, columns, 2, channels])
    y = c.reshape(c.graph.transpose(y, 0, 1, 3, 2, 4, 5), [-1, 4, channels])
    y = c.reshape(attention_fused(c, y), [-1, rows, columns, 2, 2, channels])
    y = c.graph.transpose(y, 0, 1, 3, 2, 4, 5)
    y = c.reshape(y, [Copy(0), 2 * rows, 2 * columns, channels])
    return c.graph.transpose(y, 0, 3, 1, 2)


def _start(c: Canvas, x: str, *, even: bool = False) -> tuple[str, Heads]:
    """Normalise the input (mostly) and choose the heads."""
    y = layer_norm(c, x) if c.chance(0.7) else x
    return y, Heads(c.number(1, 2, 3, 4), c.number(*([4, 6, 8] if even else [4, 5, 6, 7])))


def _finish(c: Canvas, x: str, mixed: str, heads: Heads) -> str:
    """Merge heads ``(N, h, T, d)``, project back to the width of ``x`` and add it."""
    merged = _merge(c, c.graph.transpose(mixed, 0, 2, 1, 3), heads)
    return c.graph.add(x, c.linear(merged, c.features(x)))


def _rows(c: Canvas, x: str, heads: Heads) -> str:
    return c.reshape(x, [Copy(0), Copy(1), heads.h, heads.d])


def _heads_first(c: Canvas, x: str) -> str:
    return c.graph.transpose(x, 0, 2, 1, 3)


def _merge(c: Canvas, x: str, heads: Heads) -> str:
    return c.reshape(x, [Copy(0), Copy(1), heads.width])


def _attend(
    c: Canvas, q: str, k: str, v: str, bias: str | None = None, mask: np.ndarray | None = None
) -> str:
    """softmax(q kT / sqrt(d)) v, the scale at the queries, the scores, or on both sides."""
    g, scale = c.graph, c.features(q) ** -0.5
    k = g.transpose(k, 0, 1, 3, 2)
    form = c.variant("attention_scale", "queries", "scores", "both")
    if form == "queries":
        scores = g.matmul(g.mul(q, g.constant(scale)), k)
    elif form == "scores":
        scores = g.div(g.matmul(q, k), g.constant(1 / scale))
    else:
        root = g.constant(scale**0.5)
        scores = g.matmul(g.mul(q, root), g.mul(k, root))
    if bias:
        scores = g.add(scores, bias)
    if mask is not None:
        scores = g.node("Where", [g.constant(mask), scores, g.constant(-1e4)])
    return g.matmul(g.softmax(scores, 3), v)


def _fused(c: Canvas, qkv: str, heads: Heads) -> Sequence[str]:
    """Cut ``(N, T, 3 h d)`` into three ``(N, h, T, d)``."""
    g, rows = c.graph, [Copy(0), Copy(1)]
    match c.variant("qkv", "chunks", "3hd", "h3d", "hd3"):
        case "chunks":
            parts = [_rows(c, part, heads) for part in g.split(qkv, [heads.width] * 3, axis=2)]
            return [_heads_first(c, part) for part in parts]
        case "3hd":
            y = g.transpose(c.reshape(qkv, [*rows, 3, heads.h, heads.d]), 2, 0, 3, 1, 4)
            return [g.gather(y, k, axis=0) for k in range(3)]
        case "h3d":
            y = _heads_first(c, c.reshape(qkv, [*rows, heads.h, 3 * heads.d]))
            return g.split(y, [heads.d] * 3, axis=3)
        case _:
            y = c.reshape(qkv, [*rows, heads.h, heads.d, 3])
            parts = [g.slice(y, k, k + 1, axis=4) for k in range(3)]
            return [_heads_first(c, g.squeeze(part, 4)) for part in parts]


def _repeat(c: Canvas, x: str, shared: Heads, repeats: int, form: str) -> str:
    """Repeat every head: ``(N, T, kv, d)`` to ``(N, kv * repeats, T, d)``."""
    g, h = c.graph, shared.h * repeats
    if form in ("concat", "tile"):
        y = g.unsqueeze(x, 3)
        if form == "tile":
            y = g.node("Tile", [y, g.constant([1, 1, 1, repeats, 1])])
        else:
            y = g.concat(*[y] * repeats, axis=3)
        return _heads_first(c, c.reshape(y, [Copy(0), Copy(1), h, shared.d]))
    y = g.unsqueeze(_heads_first(c, x), 2)
    if form == "expand":
        y = g.expand(y, [1, 1, repeats, 1, 1])
    else:
        sizes = [c.size_of(y, 0), g.constant([shared.h]), g.constant([repeats]), c.size_of(y, 3)]
        y = g.node("Expand", [y, g.concat(*sizes, g.constant([shared.d]), axis=0)])
    return c.reshape(y, [Copy(0), h, -1, shared.d])


def _rotary_tables(c: Canvas, x: str, d: int) -> tuple[str, str]:
    """Cosines and sines ``(T, d)``, each half of ``d`` the same; cut to length at run time."""
    angles = np.arange(TABLE_ROWS)[:, None] / 10 ** (np.arange(d // 2) / d)
    tables = [np.concatenate([f(angles)] * 2, axis=1) for f in (np.cos, np.sin)]
    if not c.token_axis_is_symbolic:
        cosine, sine = (c.graph.constant(table[: c.shape(x)[1]]) for table in tables)
        return cosine, sine
    numbers = [c.graph.constant([0]), c.size_of(x, 1), c.graph.constant([0])]
    cosine, sine = (c.graph.node("Slice", [c.graph.constant(t), *numbers]) for t in tables)
    return cosine, sine


def _rotate(c: Canvas, x: str, d: int, cosine: str, sine: str) -> str:
    """X cos + (-x2 | x1) sin, for the halves x1 | x2 of the last axis."""
    g = c.graph
    if c.variant("rotary", "slices", "split") == "split":
        first, second = g.split(x, [d // 2, d // 2], axis=3)
    else:
        first, second = g.slice(x, 0, d // 2, axis=3), g.slice(x, d // 2, axis=3)
    turned = g.concat(g.node("Neg", [second]), first, axis=3)
    return g.add(g.mul(x, cosine), g.mul(turned, sine))
