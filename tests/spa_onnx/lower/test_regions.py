from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.lower.regions import Change, Part, plain_parts


def chain(costs: list[tuple[float | None, float | None]]) -> list[Part]:
    """Return parts behind each other, from their times blocked and plain."""
    return [
        Part(str(k), (f"t{k}",), (f"t{k + 1}",), blocked, plain)
        for k, (blocked, plain) in enumerate(costs)
    ]


def test_a_layer_between_blocked_ones_must_pay_for_two_changes() -> None:
    parts = chain([(0, None), (10, 6), (0, None)])
    cheap = {f"t{k}": Change(1, 2) for k in range(4)}
    dear = {f"t{k}": Change(3, 3) for k in range(4)}
    assert plain_parts(parts, cheap, ["t3"]) == {"1"}
    assert plain_parts(parts, dear, ["t3"]) == set()


def test_neighbours_that_lose_little_join_a_region() -> None:
    parts = chain([(0, None), (10, 5), (2, 3), (10, 5), (0, None)])
    changes = {f"t{k}": Change(2, 2) for k in range(6)}
    assert plain_parts(parts, changes, ["t5"]) == {"1", "2", "3"}


def test_a_change_for_several_readers_is_paid_once() -> None:
    parts = [
        Part("stem", ("x",), ("s",), 0, None),
        *(Part(f"b{k}", ("s",), (f"y{k}",), 4, 3) for k in range(4)),
    ]
    assert plain_parts(parts, {"s": Change(0, 3)}, []) == {"b0", "b1", "b2", "b3"}
    assert plain_parts(parts, {"s": Change(0, 5)}, []) == set()


def test_a_tensor_that_is_read_in_either_layout_changes_for_nothing() -> None:
    part = Part("stem", ("x",), ("y",), 1, 2, frozenset({"x"}))
    assert plain_parts([part], {"x": Change(100, 100)}, []) == set()


def least(parts: list[Part], changes: dict[str, Change], ends: list[str]) -> float:
    """Return the least sum over all ways to put parts on sides."""
    best = float("inf")
    for sides in product((False, True), repeat=len(parts)):
        plain = {part.name for part, side in zip(parts, sides, strict=True) if side}
        best = min(best, total(parts, changes, ends, plain))
    return best


def total(parts: list[Part], changes: dict[str, Change], ends: list[str], plain: set[str]) -> float:
    """Return what all parts and changes take."""
    makers = {tensor: part.name for part in parts for tensor in part.makes}
    found = 0.0
    for part in parts:
        cost = part.plain if part.name in plain else part.blocked
        found += float("inf") if cost is None else cost
    for tensor, change in changes.items():
        made_plain = tensor not in makers or makers[tensor] in plain
        wanted = [
            p.name in plain for p in parts if tensor in p.reads and tensor not in p.free_reads
        ]
        wanted += [True] if tensor in ends else []
        if made_plain and not all(wanted):
            found += change.into
        if not made_plain and any(wanted):
            found += change.back
    return found


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Part], dict[str, Change], list[str]]:
    """Draw a few parts, each of which reads something made before."""
    number = st.integers(0, 9).map(float)
    parts: list[Part] = []
    for k in range(draw(st.integers(1, 6))):
        reads = draw(st.lists(st.integers(0, k), min_size=1, max_size=2, unique=True))
        blocked, plain = draw(
            st.tuples(number, number) | st.tuples(number, st.none()) | st.tuples(st.none(), number)
        )
        parts.append(Part(f"p{k}", tuple(f"t{n}" for n in reads), (f"t{k + 1}",), blocked, plain))
    changes = {f"t{k}": Change(draw(number), draw(number)) for k in range(len(parts) + 1)}
    return parts, changes, [f"t{len(parts)}"]


@given(graphs())
def test_no_other_choice_takes_less(case: tuple[list[Part], dict[str, Change], list[str]]) -> None:
    parts, changes, ends = case
    assert total(parts, changes, ends, plain_parts(parts, changes, ends)) == least(*case)
