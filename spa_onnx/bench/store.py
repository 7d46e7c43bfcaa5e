"""Results of models: what is there need not be done again."""

from __future__ import annotations

from pathlib import Path

from spa_onnx.bench.lines import Lines
from spa_onnx.bench.result import Key, Result


class Store:
    """A file of results by key."""

    def __init__(self, path: Path) -> None:
        """Read what earlier runs left, or start a new file.

        Raises:
            BenchFileError: the file cannot be read or written, or holds something else.
        """
        self.path = path
        self._lines = Lines(path, Result)
        self._found: dict[Key, Result] = {r.key: r for r in self._lines.found}

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
        self._lines.add(result)
        self._found[result.key] = result
