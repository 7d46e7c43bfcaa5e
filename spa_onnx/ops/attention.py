"""Fused attention: heads, and the widths of query/key and of value, as separate dims.

Inside the operator a head's query and key are multiplied lane by lane, so removed lanes must be
zero in one of the two; values only make outputs. The scale of the logits stays the original one.

Source: ONNX Attention-23; ONNX Runtime's Attention, MultiHeadAttention, GroupQueryAttention and
RotaryEmbedding of domain com.microsoft.
"""

from __future__ import annotations

from math import sqrt

from spa_onnx.algebra.cut import cut
from spa_onnx.algebra.expression import Axes, Expr, size_of
from spa_onnx.algebra.size import Size, symbol
from spa_onnx.algebra.unify import equate, factor
from spa_onnx.ops.rule import Coupling, Lanes, Mixed, Operands, OpRule, RefusalError, Resized

MICROSOFT = "com.microsoft::"


def _heads(operands: Operands, lanes: Expr, heads: int) -> tuple[Expr, Expr]:
    size = size_of(lanes)
    if heads < 1 or size % heads != 0:
        raise RefusalError(f"{size} lanes in {heads} heads")
    head, width = factor(operands.space, lanes, [heads, size // heads])
    return head, width


def _number(size: Size) -> int:
    if not isinstance(size, int):
        raise TypeError(f"length {size} of a head")
    return size


def _scale(operands: Operands, width: Expr) -> float:
    """Return the scale of the logits as it was: the default follows the width of a head."""
    given = float(operands.node.attributes.get("scale", 0.0))
    return given or 1 / sqrt(_number(size_of(width)))


def couple_attention(operands: Operands) -> Coupling:
    """Couple ``weights (H_in, h*d | h*d | h*v)`` of the contrib Attention with its ``h*v``."""
    node, space = operands.node, operands.space
    x, w = operands.axes(0), operands.axes(1)
    heads = node.integer("num_heads", 1)
    total = size_of(w[1])
    sizes: list[Size] = [*node.ints("qkv_hidden_sizes")] or [total // 3] * 3
    if operands.has(4) or node.integer("do_rotary", 0) or sum(sizes) != total:
        raise RefusalError("past keys, rotary positions or projections that do not add up")
    equate(space, x[2], w[0], "contraction")
    query, rest = cut(space, w[1], sizes[0])
    key, value = cut(space, rest, sizes[1])
    head, width = _heads(operands, query, heads)
    widths = [width]
    for lanes, also_width in ((key, True), (value, False)):
        other, other_width = _heads(operands, lanes, heads)
        equate(space, head, other, "heads")
        if also_width:
            equate(space, width, other_width, "query and key")
        widths.append(other_width)
    if operands.has(2):
        equate(space, operands.axes(2)[0], w[1], "bias")
    for position in (3, 5):
        if operands.has(position):
            space.fix_all(operands.axes(position), "mask of attention")
    space.fix_all(x[:2], "tokens of attention")
    parts = tuple(map(space.normal, (query, key, value)))

    def resize(kept: Lanes) -> Resized:
        lengths = [_number(kept.length(part)) for part in parts]
        given = bool(node.ints("qkv_hidden_sizes"))
        named = {"qkv_hidden_sizes": lengths} if given or len(set(lengths)) > 1 else {}
        if kept.length(space.normal(width)) != size_of(width):
            named["scale"] = _scale(operands, width)  # type: ignore[assignment]
        return Resized({"num_heads": _number(kept.length(head)), **named})

    masked = (Mixed(0, (2,)), Mixed(1, (1,)), *((Mixed(2, (0,)),) if operands.has(2) else ()))
    return Coupling(
        ((space.normal(x[0]), space.normal(x[1]), space.normal(value)),),
        masked,
        produced=parts,
        consumed=(space.normal(x[2]), space.normal(width)),
        resize=resize,
        work=((x[0], x[1], x[2], w[1]),),
        kinds=(("heads", head), *(("head-dims", e) for e in widths)),
        hidden=((x[0], x[1], head),),
    )


def couple_multi_head_attention(operands: Operands) -> Coupling:
    """Couple projected query, key ``h*d`` and value ``h*v``; a packed bias lies end to end."""
    node, space = operands.node, operands.space
    if any(operands.has(k) for k in (6, 7, 8, 9)) or not operands.has(2):
        raise RefusalError("past or packed keys and values")
    given = [operands.axes(k) for k in range(3)]
    if any(len(axes) != 3 for axes in given):
        raise RefusalError("packed or split queries")
    heads = node.integer("num_heads", 1)
    (head, width), (k_head, k_width), (v_head, v_width) = (
        _heads(operands, axes[2], heads) for axes in given
    )
    equate(space, head, k_head, "heads")
    equate(space, head, v_head, "heads")
    equate(space, width, k_width, "query and key")
    if operands.has(3):
        joined = space.concat([axes[2] for axes in given])
        equate(space, operands.axes(3)[0], joined, "bias")
    for axes in given:
        space.fix_all(axes[:2], "tokens of attention")
    for position in (4, 5):
        if operands.has(position):
            space.fix_all(operands.axes(position), "mask of attention")

    def resize(kept: Lanes) -> Resized:
        if kept.length(width) == size_of(width):
            return Resized({"num_heads": _number(kept.length(head))})
        return Resized({"num_heads": _number(kept.length(head)), "scale": _scale(operands, width)})

    tokens = tuple(map(space.normal, given[0][:2]))
    masked = (Mixed(0, (2,)), *((Mixed(3, (0,)),) if operands.has(3) else ()))
    return Coupling(
        ((*tokens, space.normal(given[2][2])),),
        masked,
        consumed=(space.normal(width),),
        resize=resize,
        work=((*tokens, given[1][1], width, head),),
        kinds=(("heads", head), ("head-dims", width), ("head-dims", v_width)),
        hidden=((*tokens, head),),
    )


def couple_standard_attention(operands: Operands) -> Coupling:
    """Couple Attention-23: ``(B, h, T, d)``, or ``(B, T, h*d)`` with head counts as attributes.

    Grouped queries: ``h = kv * rep``.
    """
    node, space = operands.node, operands.space
    if any(operands.has(k) for k in (4, 5, 6)) or sum(map(bool, node.outputs)) > 1:
        raise RefusalError("past keys and values, or logits as an output")
    given = [operands.axes(k) for k in range(3)]
    split = len(given[0]) == 4
    if split:
        q_head, width = given[0][1], given[0][3]
        (k_head, k_width), (v_head, v_width) = ((a[1], a[3]) for a in given[1:])
    else:
        q_count, kv_count = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
        q_head, width = _heads(operands, given[0][2], q_count)
        k_head, k_width = _heads(operands, given[1][2], kv_count)
        v_head, v_width = _heads(operands, given[2][2], kv_count)
    group, repeat = _heads(operands, q_head, _number(size_of(k_head)))
    equate(space, group, k_head, "heads of queries and keys")
    equate(space, k_head, v_head, "heads of keys and values")
    equate(space, width, k_width, "query and key")
    for axes in given:
        space.fix_all((axes[0], axes[2] if split else axes[1]), "tokens of attention")
    if operands.has(3):
        space.fix_all(operands.axes(3), "mask of attention")
    space.fix(repeat, "queries of one key")

    def resize(kept: Lanes) -> Resized:
        named: dict[str, int | float] = {}
        if not split:
            named = {
                "q_num_heads": _number(kept.length(q_head)),
                "kv_num_heads": _number(kept.length(k_head)),
            }
        if kept.length(width) != size_of(width):
            named["scale"] = _scale(operands, width)
        return Resized(named)

    heads = space.product([k_head, space.normal(repeat)])
    batch, tokens = given[0][0], given[0][2 if split else 1]
    y: Axes = (
        (batch, heads, tokens, v_width)
        if split
        else (batch, tokens, space.product([heads, v_width]))
    )
    axis = 3 if split else 2
    return Coupling(
        (tuple(map(space.normal, y)),),
        (Mixed(0, (axis,)),),
        consumed=(space.normal(width),),
        resize=resize,
        work=((batch, tokens, given[1][2 if split else 1], heads, width),),
        kinds=(("heads", heads), ("head-dims", width), ("head-dims", v_width)),
        hidden=((batch, tokens, heads),),
    )


def couple_group_query(operands: Operands) -> Coupling:
    """Fix queries, keys and values: caches, which are inputs and outputs, hold their widths."""
    query, why = operands.axes(0), "widths of a cache of keys and values"
    for position in range(operands.count):
        if operands.has(position):
            operands.space.fix_all(operands.axes(position), why)
    if not operands.has(1):
        raise RefusalError("packed queries, keys and values")
    steps = operands.space.fixed(symbol("cache"), "steps of a cache")
    cache = [operands.axes(k) if operands.has(k) else None for k in (3, 4)]
    present: list[Axes | None] = [
        None if axes is None else (*axes[:2], steps, axes[3]) for axes in cache
    ]
    y = tuple(map(operands.space.normal, query))
    outputs = (y, *present, None)[: len(operands.node.outputs)]
    return Coupling(tuple(outputs))


def couple_rotary(operands: Operands) -> Coupling:
    """Rotate pairs: halves of a head, or neighbours; each pair shares a column of the tables."""
    node, space = operands.node, operands.space
    standard = node.op == "RotaryEmbedding"
    tables = (1, 2) if standard else (2, 3)
    x = operands.axes(0)
    if node.integer("rotary_embedding_dim", 0) or node.integer("is_packed_batching", 0):
        raise RefusalError("a part of each head is rotated")
    lanes = x[-1]
    if len(x) == 3:
        heads = node.integer("num_heads", 0)
        columns = size_of(operands.axes(tables[0])[-1])
        count = heads or _number(size_of(lanes) // (columns * 2))
        _, lanes = _heads(operands, lanes, count)
    half = size_of(lanes) // 2
    if node.integer("interleaved", 0):
        pair, side = factor(space, lanes, [half, 2])
    else:
        side, pair = factor(space, lanes, [2, half])
    space.fix(side, "pairs are rotated")
    for position in tables:
        *rows, columns_axis = operands.axes(position)
        equate(space, columns_axis, pair, "columns of a rotary table")
        space.fix_all(rows, "rows of a rotary table")
    for position in {1, 2, 3} - set(tables):
        if operands.has(position):
            space.fix_all(operands.axes(position), "positions")
    space.fix_all(x[:-1] if len(x) == 3 else (x[0], *x[2:-1]), "tokens that are rotated")

    def resize(kept: Lanes) -> Resized:
        heads = node.integer("num_heads", 0)
        if not heads or len(x) != 3:
            return Resized()
        return Resized({"num_heads": _number(kept.length(x[-1]) // kept.length(lanes))})

    return Coupling((tuple(map(space.normal, x)),), resize=resize)


RULES = (
    OpRule(MICROSOFT + "Attention", couple_attention),
    OpRule(MICROSOFT + "MultiHeadAttention", couple_multi_head_attention),
    OpRule(MICROSOFT + "GroupQueryAttention", couple_group_query),
    OpRule("Attention", couple_standard_attention),
    OpRule("RotaryEmbedding", couple_rotary),
    OpRule(MICROSOFT + "RotaryEmbedding", couple_rotary),
)
