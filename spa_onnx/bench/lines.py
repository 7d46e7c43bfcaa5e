"""Records in a file, one line of JSON each: read once, then only appended to."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from spa_onnx.bench.records import decode, parse, read_text
from spa_onnx.errors import BenchFileError

T = TypeVar("T")


class Lines(Generic[T]):
    """A file of records of one dataclass; a last line without an end is what a kill left.

    Attributes:
        path: the file.
        found: what earlier runs left.
    """

    def __init__(self, path: Path, kind: type[T]) -> None:
        """Read what is there, or start a new file.

        Raises:
            BenchFileError: the file cannot be read or written, or holds something else.
        """
        self.path = path
        self.found: list[T] = []
        if path.exists() and not path.is_file():
            raise BenchFileError(str(path), "is no regular file; give --results another path")
        text = read_text(path) if path.exists() else ""
        whole, end, rest = text.rpartition("\n")
        for number, line in enumerate(whole.splitlines(), 1):
            where = f"{path}, line {number}"
            self.found.append(decode(kind, parse(line, where), where))
        described: Any = kind
        start = f'{{"{fields(described)[0].name}": '  # how every line of ours begins
        if not start.startswith(rest[: len(start)]):
            raise BenchFileError(str(path), "holds no results; give --results another path")
        if rest:
            os.truncate(path, len((whole + end).encode()))
        self._append("")

    def add(self, record: T) -> None:
        """Append a record, so that it survives whatever happens next.

        Raises:
            BenchFileError: the file cannot be written.
        """
        described: Any = record
        self._append(json.dumps(asdict(described), allow_nan=False) + "\n")
        self.found.append(record)

    def _append(self, text: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as failure:
            problem = f"cannot be written ({failure.strerror})"
            raise BenchFileError(str(self.path), problem) from failure
