"""MatMul, Gemm and Einsum: contracted axes are equal, batch axes are equal, the rest pass through.

Source: ONNX MatMul-13, Gemm-13, Einsum-12.
"""

from __future__ import annotations

from collections import Counter

from spa_onnx.algebra.expression import ONE, Axes, Expr, size_of
from spa_onnx.algebra.unify import equate
from spa_onnx.ops.broadcast import broadcast
from spa_onnx.ops.rule import Coupling, Mixed, Operands, OpRule, RefusalError


def couple_matmul(operands: Operands) -> Coupling:
    """Couple ``(..., M, K) @ (..., K, N)``; vectors on either side as numpy treats them."""
    x, w = operands.axes(0), operands.axes(1)
    if not x or not w:
        raise RefusalError("a scalar operand")
    left = (ONE, *x) if len(x) == 1 else x
    right = (*w, ONE) if len(w) == 1 else w
    equate(operands.space, left[-1], right[-2], "contraction")
    batch = broadcast(operands.space, [left[:-2], right[:-2]], "batch of a product")
    y = (*batch, *(left[-2:-1] if len(x) > 1 else ()), *(right[-1:] if len(w) > 1 else ()))
    return Coupling(
        outputs=(y,),
        mixed=(Mixed(0, (len(x) - 1,)),),
        produced=_produced(operands, left[-2], right[-1]),
        consumed=(left[-1],),
        work=((*batch, left[-2], left[-1], right[-1]),),
    )


def couple_gemm(operands: Operands) -> Coupling:
    """Couple ``A' (M, K) @ B' (K, N) + C``; C broadcasts to the result."""
    x, w = operands.axes(0), operands.axes(1)
    if len(x) != 2 or len(w) != 2:
        raise RefusalError(f"operands of rank {len(x)} and {len(w)}")
    trans_a, trans_b = operands.node.integer("transA", 0), operands.node.integer("transB", 0)
    rows, inner = x[::-1] if trans_a else x
    inner_w, columns = w[::-1] if trans_b else w
    equate(operands.space, inner, inner_w, "contraction")
    if operands.has(2):
        broadcast(operands.space, [(rows, columns), operands.axes(2)], "bias")
    return Coupling(
        outputs=((rows, columns),),
        mixed=(Mixed(0, (0 if trans_a else 1,)),),
        produced=_produced(operands, rows, columns),
        consumed=(inner,),
        work=((rows, inner, columns),),
    )


def _produced(operands: Operands, rows: Expr, columns: Expr) -> tuple[Expr, ...]:
    return (
        *((rows,) if operands.is_weight(0) else ()),
        *((columns,) if operands.is_weight(1) else ()),
    )


def couple_einsum(operands: Operands) -> Coupling:
    """Couple by letters; a letter that is not in the result is contracted."""
    terms, result = _equation(operands)
    axes: dict[str, Expr] = {}
    for k, term in enumerate(terms):
        given = operands.axes(k)
        if len(given) != len(term):
            raise RefusalError(f"operand {k} has rank {len(given)}, the equation {len(term)}")
        for letter, e in zip(term, given, strict=True):
            if letter not in axes or size_of(axes[letter]) == 1:
                axes[letter] = e
            elif size_of(e) != 1:
                equate(operands.space, axes[letter], e, "einsum index")
    uses = Counter("".join(terms))
    if any(len(set(term)) < len(term) for term in terms):
        operands.space.fix_all(axes.values(), "a diagonal in einsum")
    mixed, seen = [], set(result)
    for k, term in enumerate(terms):
        places = tuple(p for p, letter in enumerate(term) if letter not in seen)
        seen |= set(term)
        if places:
            mixed.append(Mixed(k, places))
    weights = [term for k, term in enumerate(terms) if operands.is_weight(k)]
    produced = tuple(axes[c] for term in weights for c in term if c in result and uses[c] == 1)
    consumed = tuple(axes[c] for c in uses if c not in result)
    outputs: Axes = tuple(axes[c] for c in result)
    return Coupling((outputs,), tuple(mixed), produced, consumed, work=(tuple(axes.values()),))


def _equation(operands: Operands) -> tuple[list[str], str]:
    """Return operand and result letters; ellipses and an implicit result are written out."""
    equation = operands.node.text("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != operands.count:
        raise RefusalError(f"equation {equation!r} for {operands.count} operands")
    if "..." in equation:
        spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
        ranks = [len(operands.axes(k)) - len(t.replace("...", "")) for k, t in enumerate(terms)]
        longest = max((r for r, t in zip(ranks, terms, strict=True) if "..." in t), default=0)
        hidden = "".join(spare[:longest])
        terms = [
            t.replace("...", hidden[longest - r :] if r > 0 else "")
            for r, t in zip(ranks, terms, strict=True)
        ]
        result = result.replace("...", hidden)
        if not arrow:
            raise RefusalError("an ellipsis without an explicit result")
    if not arrow:
        counts = Counter("".join(terms))
        result = "".join(sorted(c for c, n in counts.items() if n == 1))
    return terms, result


RULES = (
    OpRule("MatMul", couple_matmul),
    OpRule("Gemm", couple_gemm),
    OpRule("Einsum", couple_einsum),
)
