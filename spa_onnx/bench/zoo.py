"""The list of models that a bench runs: what was exported, and what is expected of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from spa_onnx.bench.records import decode, parse, read_text
from spa_onnx.errors import BenchFileError

FORMAT = 1
"""Version of the list's form."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model, exported or not.

    Attributes:
        name: unique in the list.
        family: what its row is counted with.
        framework: what made it.
        exporter: what wrote the file.
        file: relative to the list; empty where there is none.
        failure: why there is none.
        least: share of the parameters that at least must go at the list's ratio.
        reason: why that is less than usual; empty where it is not.
        refusal: words of the error that is expected instead; empty where pruning is.
    """

    name: str
    family: str
    framework: str
    exporter: str
    file: str
    failure: str = ""
    least: float = 0.0
    reason: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """A family that was not made at all, and why."""

    family: str
    why: str


@dataclass(frozen=True, slots=True)
class Zoo:
    """A list of models.

    Attributes:
        format: version of this form.
        ratio: at which ``least`` is expected of the models.
        models: with their expectations.
        absent: families that were not made.
    """

    format: int
    ratio: float
    models: tuple[Entry, ...]
    absent: tuple[Absent, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry and where its file is; no path where there is none."""

    entry: Entry
    path: Path | None


def read_zoo(path: Path) -> tuple[Zoo, list[Listed]]:
    """Return a list of models and their files.

    Raises:
        BenchFileError: the list is broken, or names a file that is outside its folder or missing.
    """
    where = str(path)
    content = parse(read_text(path), where)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BenchFileError(where, f"is no list of models of format {FORMAT}; see models/zoo.py")
    zoo = decode(Zoo, content, where)
    if not 0 < zoo.ratio < 1:
        raise BenchFileError(where, f"ratio {zoo.ratio:g} is not between 0 and 1")
    for kind in ("name", "file"):
        _check_unique(where, kind, [getattr(entry, kind) for entry in zoo.models])
    return zoo, [Listed(entry, _file(where, path.parent, entry)) for entry in zoo.models]


def _check_unique(where: str, kind: str, values: Sequence[str]) -> None:
    for value, times in Counter(filter(None, values)).items():
        if times > 1:
            raise BenchFileError(where, f"{times} models have the {kind} {value!r}")


def _file(where: str, folder: Path, entry: Entry) -> Path | None:
    """Return the file of an entry, checked.

    Links inside the folder may lead out of it: whoever made them decided that.
    """
    label = f"{where}, model {entry.name!r}"
    if not entry.name:
        raise BenchFileError(where, "a model has no name")
    if not 0 <= entry.least <= 1:
        raise BenchFileError(label, f"'least' is {entry.least:g}, not between 0 and 1")
    if not entry.file:
        if not entry.failure:
            raise BenchFileError(label, "has neither a file nor a failure")
        return None
    pure = PurePosixPath(entry.file)
    foreign = pure.is_absolute() or PureWindowsPath(entry.file).is_absolute()
    if foreign or ".." in pure.parts or "\0" in entry.file:
        raise BenchFileError(label, f"file {entry.file!r} lies outside the folder of the list")
    if not (folder / pure).is_file():
        problem = f"file {entry.file!r} is missing; run models/zoo.py again"
        raise BenchFileError(label, problem)
    return folder / pure


def plain_files(paths: Sequence[Path]) -> list[Listed]:
    """Return entries for files without a list: named by folder and file, expected to be proved.

    Raises:
        BenchFileError: a file is missing, or is given twice.
    """
    listed = []
    for path in paths:
        if not path.is_file():
            raise BenchFileError(str(path), "no such file")
        name = f"{path.absolute().parent.name}/{path.stem}"
        entry = Entry(name, path.absolute().parent.name, "", "", str(path))
        listed.append(Listed(entry, path))
    _check_unique("the arguments", "name", [one.entry.name for one in listed])
    return listed
