"""The kernel list against the kernels.inc files it is made from."""

import re
from pathlib import Path

from tests.runtime_kernels.kernel_library import needs_kernels, variants

KERNELS = Path(__file__).parents[3] / "runtime_kernels" / "kernels"


@needs_kernels
def test_the_list_is_the_lines_of_kernels_inc_in_order() -> None:
    lines = re.findall(
        r"^SPA_KERNEL\((\w+), (\w+)\)$",
        (KERNELS / "csr_linear" / "kernels.inc").read_text(),
        re.MULTILINE,
    )
    listed = [(v.instruction_set, v.name) for v in variants("csr_linear_f32")]
    assert listed == [line for line in lines if line in listed]
    assert ("any", "csr_linear_f32_scalar") in listed
