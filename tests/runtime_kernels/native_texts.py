"""What the native reader of packed weights says against broken ones."""

from __future__ import annotations

from tests.spa_onnx.runtime.broken_weights import Broken

NATIVE_TEXTS = {
    "other kind that there is": "index size is 2, expected 0",
    "truncated tail": "end of values is 340, expected 336",
    "columns past int32": "shape (4, 2147483648) is empty or has a length above 2^31 - 1",
    "all the rows there can be": "shape (4294967295, 3) is empty or has a length above",
    "more rows": "row block 4 ends before it starts",
    "wide indices": "index size is 4, expected 2",
    "no chunk": "chunk columns are 0 of 3",
    "chunk past the columns": "chunk columns are 4 of 3",
    "chunked mask": "chunk columns is 2, expected 3",
    "count whose size overflows": "4611686018427387904 blocks do not fit 32 bits",
    "first row not at 0": "first start of a chunk is 1, expected 0",
    "column outside": "index 3 of block 0 is not below 3",
    "negative column": "index 65535 of block 2 is not below 3",
    "column twice": "index 2 of block 1 does not rise",
    "chunks apart": "first start of a chunk is 1, expected 2",
    "column of the next chunk": "index 2 of block 0 is not below 2",
    "column of the chunk before": "index 1 of block 2 does not rise",
    "one bit more": "row 0 stores 2 values, but its mask has 3 bits",
    "bit moved to another row": "row 0 stores 2 values, but its mask has 1 bits",
    "bit beyond the columns": "row 0 stores columns beyond 3",
    "bit in the last word": "row 0 stores columns beyond 3",
    "segment outside": "index 3 of block 1 is not below 3",
    "segment twice": "index 2 of block 1 does not rise",
    "tiles in chunks": "chunk columns is 64, expected 65",
    "tiles with wide indices": "index size is 4, expected 2",
    "first tile not at 0": "first start of a chunk is 1, expected 0",
    "tile outside": "index 2 of block 2 is not below 2",
    "tile twice": "index 1 of block 1 does not rise",
    "two of four with short words": "index size is 2, expected 4",
    "chunked two of four": "chunk columns is 64, expected 65",
    "mask of bfloat16 with a bit more": "row 0 stores 3 values, but its mask has 4 bits",
}
"""By the name of the problem, where the native reader has words of its own for it."""


def native_text(broken: Broken) -> str:
    """Return a part of what the native reader says."""
    return NATIVE_TEXTS.get(broken.name, broken.text)
