"""Results in a file, one line each: what is there need not be done again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from spa_onnx.bench.records import decode, parse, read_text
from spa_onnx.bench.result import Key, Result
from spa_onnx.errors import BenchFileError

START = '{"model": '
"""How every line begins; one that has no end is what an interrupted run left."""


class Store:
    """A file of results, read once and then only appended to."""

    def __init__(self, path: Path) -> None:
        """Read what earlier runs left, or start a new file.

        Raises:
            BenchFileError: the file cannot be read or written, or holds something else.
        """
        self.path = path
        self._found: dict[Key, Result] = {}
        if path.exists() and not path.is_file():
            raise BenchFileError(str(path), "is no regular file; give --results another path")
        text = read_text(path) if path.exists() else ""
        whole, end, rest = text.rpartition("\n")
        for number, line in enumerate(whole.splitlines(), 1):
            where = f"{path}, line {number}"
            result = decode(Result, parse(line, where), where)
            self._found[result.key] = result
        if not START.startswith(rest[: len(START)]):
            raise BenchFileError(str(path), "holds no results; give --results another path")
        if rest:
            os.truncate(path, len((whole + end).encode()))
        self._append("")

    def find(self, key: Key, limit: float, memory_limit: int) -> Result | None:
        """Return the last result of a key, unless it only ran out of less than it has now."""
        found = self._found.get(key)
        if found is None:
            return None
        if found.outcome == "timeout" and found.limit < limit:
            return None
        if found.outcome == "out of memory" and found.memory_limit != memory_limit:
            return None
        return found

    def add(self, result: Result) -> None:
        """Append a result, so that it survives whatever happens next.

        Raises:
            BenchFileError: the file cannot be written.
        """
        self._append(json.dumps(asdict(result), allow_nan=False) + "\n")
        self._found[result.key] = result

    def _append(self, text: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as failure:
            problem = f"cannot be written ({failure.strerror})"
            raise BenchFileError(str(self.path), problem) from failure
