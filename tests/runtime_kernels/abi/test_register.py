"""RegisterCustomOps, called through ctypes by a runtime that is too old."""

from __future__ import annotations

import ctypes
from typing import Any

from tests.runtime_kernels.kernel_library import load_library, needs_kernels
from tests.runtime_kernels.op_models import (
    linear_node,
    open_quietly,
    random_input,
    random_weight,
)

pytestmark = needs_kernels

CREATE_STATUS = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
GET_API = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
GET_VERSION = ctypes.CFUNCTYPE(ctypes.c_void_p)


class OrtApiBase(ctypes.Structure):
    """OrtApiBase of ort_api.h."""

    _fields_ = (("GetApi", GET_API), ("GetVersionString", GET_VERSION))


def test_a_runtime_before_1_17_gets_a_status_that_says_so() -> None:
    said: list[bytes] = []
    version = ctypes.create_string_buffer(b"1.16.3")

    def create_status(_code: int, message: bytes) -> int:
        said.append(message)
        return 4711

    def get_api(wanted: int) -> int | None:
        return ctypes.addressof(slots) if wanted <= 16 else None

    table = CREATE_STATUS(create_status)
    slots = (ctypes.c_void_p * 1)(ctypes.cast(table, ctypes.c_void_p))
    base = OrtApiBase(
        GET_API(get_api),
        GET_VERSION(lambda: ctypes.addressof(version)),
    )
    register: Any = load_library().RegisterCustomOps
    register.restype = ctypes.c_void_p
    assert register(None, ctypes.byref(base)) == 4711
    assert said == [b"ai.spa needs ONNX Runtime 1.17 or newer, this is 1.16.3"]


def test_many_sessions_may_register_the_library() -> None:
    weight, x = random_weight(5, 20), random_input(4, 20)
    sessions = [open_quietly(linear_node(weight)) for _ in range(3)]
    del sessions[1]
    for opened in sessions:
        assert opened.run(None, {"x": x})[0].shape == (4, 5)
