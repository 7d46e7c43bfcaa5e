from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.bench.records import decode, parse, read_text
from spa_onnx.errors import BenchFileError


@dataclass(frozen=True, slots=True)
class Inner:
    share: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Outer:
    count: int
    kind: Literal["a", "b"]
    flag: bool = False
    maybe: float | None = None
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


INNER = st.builds(Inner, st.floats(0, 1), st.text(st.characters(exclude_categories=["Cs"])))
OUTER = st.builds(
    Outer,
    st.integers(-(2**62), 2**62),
    st.sampled_from(["a", "b"]),
    st.booleans(),
    st.none() | st.floats(-1e9, 1e9),
    st.none() | INNER,
    st.lists(INNER, max_size=3).map(tuple),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 9)),
)


@given(OUTER)
def test_what_was_written_is_read_again(value: Outer) -> None:
    import json

    assert decode(Outer, parse(json.dumps(asdict(value)), "text"), "text") == value


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"count": "3"}, "field 'count' is \"3\", not a whole number"),
        ({"count": 3.5}, "field 'count' is 3.5, not a whole number"),
        ({"count": True}, "field 'count' is true, not a whole number"),
        ({"count": 10**40}, "field 'count' is out of range"),
        ({"maybe": 10**400}, "field 'maybe' is out of range"),
        ({"kind": "c"}, "field 'kind' is \"c\", not one of 'a', 'b'"),
        ({"kind": []}, "field 'kind' is a list"),
        ({"flag": 1}, "field 'flag' is 1, not true or false"),
        ({"inner": 1}, "'inner': is 1, not an object"),
        ({"inner": {}}, "'inner': has no field 'share'"),
        ({"several": {}}, "field 'several' is an object, not a list"),
        ({"several": [None]}, "'several': is null, not an object"),
        ({"seconds": {"load": "x" * 99}}, "field 'seconds' is \"xxx"),
        ({"inner": {"share": 1, "name": "\ud800"}}, "field 'name' is no valid text"),
    ],
)
def test_a_value_of_another_type_is_named(change: dict[str, Any], text: str) -> None:
    with pytest.raises(BenchFileError) as caught:
        decode(Outer, {"count": 1, "kind": "a"} | change, "file")
    assert text in str(caught.value)
    assert str(caught.value).startswith("file")
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "[Infinity]", "[" * 100_000, "1" * 10_000, '{"a": -Infinity}']
)
def test_texts_that_are_no_json(text: str) -> None:
    with pytest.raises(BenchFileError, match="is no JSON"):
        parse(text, "file")


def test_numbers_too_large_for_a_float_are_out_of_range() -> None:
    with pytest.raises(BenchFileError, match="'maybe' is out of range"):
        decode(Outer, parse('{"count": 1, "kind": "a", "maybe": 1e999}', "file"), "file")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(BenchFileError, match="cannot be read"):
        read_text(tmp_path)
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchFileError, match="no UTF-8"):
        read_text(tmp_path / "x")
