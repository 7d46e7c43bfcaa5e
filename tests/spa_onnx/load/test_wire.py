import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto

from spa_onnx.graph.tensors import all_tensors
from spa_onnx.load.wire import (
    INLINE_LIMIT,
    MAX_DEPTH,
    WireError,
    delimited,
    inflate,
    read_varint,
    strip_payloads,
    varint,
)
from tests.spa_onnx.load.drawn_models import models


def round_trip(model: ModelProto) -> tuple[bytes, bytes]:
    """Return the skeleton, and what becomes of it when the payloads are put back."""
    data = model.SerializeToString()
    skeleton = strip_payloads(memoryview(data), "here")

    def payload_of(encoded: bytes) -> tuple[bytes, str, int] | None:
        tensor = TensorProto.FromString(encoded)
        entries = {e.key: e.value for e in tensor.external_data}
        if entries.get("location") != "here":
            return None
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        return tensor.SerializeToString(), entries["offset"], int(entries["length"])

    whole = bytearray()
    for piece in inflate(skeleton, payload_of):
        if isinstance(piece, bytes):
            whole += piece
        else:
            whole += data[int(piece[0]) : int(piece[0]) + piece[1]]
    return skeleton, bytes(whole)


@given(models())
def test_stripped_payloads_can_be_put_back(model: ModelProto) -> None:
    _, whole = round_trip(model)
    assert ModelProto.FromString(whole) == model


@given(models())
def test_no_large_payload_stays_in_a_skeleton(model: ModelProto) -> None:
    skeleton, _ = round_trip(model)
    for tensor in all_tensors(ModelProto.FromString(skeleton)):
        assert len(tensor.raw_data) <= INLINE_LIMIT


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_read_as_written(number: int) -> None:
    data = varint(number)
    assert read_varint(memoryview(data), 0, len(data)) == (number, len(data))
    with pytest.raises(WireError, match="does not end"):
        read_varint(memoryview(data), 0, len(data) - 1)


def test_a_number_that_never_ends_is_refused() -> None:
    with pytest.raises(WireError, match="a number at byte 10 does not end"):
        read_varint(memoryview(b"\xff" * 100), 0, 100)


@pytest.mark.parametrize("length", [1, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1])
def test_a_declared_length_beyond_the_end_is_refused(length: int) -> None:
    data = varint(7 << 3 | 2) + varint(length)
    with pytest.raises(WireError, match="field 7 at byte 0 runs past the end"):
        strip_payloads(memoryview(data), "here")


@pytest.mark.parametrize("kind", [3, 4, 6, 7])
def test_an_unknown_wire_type_is_refused(kind: int) -> None:
    with pytest.raises(WireError, match=f"unknown wire type {kind} at byte 0"):
        strip_payloads(memoryview(bytes([1 << 3 | kind, 0])), "here")


def test_field_zero_is_refused() -> None:
    with pytest.raises(WireError, match="field 0"):
        strip_payloads(memoryview(bytes([0, 0])), "here")


def test_hostile_nesting_is_refused() -> None:
    """A graph in an attribute of a node in a graph in ... each above the limit of a kilobyte."""
    message = b"\x00" * (2 * INLINE_LIMIT)
    message = delimited(9, message)  # raw data of a tensor
    message = delimited(5, message)  # the tensor of a graph
    for _ in range(MAX_DEPTH):
        message = delimited(1, delimited(5, delimited(6, message)))
    with pytest.raises(WireError, match=f"nested deeper than {MAX_DEPTH}"):
        strip_payloads(memoryview(delimited(7, message)), "here")
