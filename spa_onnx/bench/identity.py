"""Which files, settings and sources a result belongs to."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

import spa_onnx
from spa_onnx.graph.tensors import all_tensors
from spa_onnx.load.source import FileSource, Scanned
from spa_onnx.load.store import is_external, references
from spa_onnx.load.wire import WireError, strip_payloads
from spa_onnx.report.report import library_versions

PACKAGE = Path(spa_onnx.__file__).parent
SHOWING = ("cli", "bench")
"""Folders whose sources do not change what comes of a model, apart from ``MEASURING``."""

MEASURING = ("worker.py", "validity.py", "result.py")
DIGITS = 16
"""Hexadecimal digits of a digest that are kept: 64 bits are plenty for thousands of files."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """The spa-onnx that runs.

    Attributes:
        version: with a digest of the sources that matter.
        libraries: versions of what it builds on.
        commit: of the sources, ``+`` behind it where they were changed since; empty without one.
    """

    version: str
    libraries: str
    commit: str


def this_compiler() -> Compiler:
    """Describe the installed package."""
    versions = library_versions()
    own = versions.pop("spa-onnx")
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Compiler(f"{own} {_sources()}", libraries, _commit())


def _sources() -> str:
    digest = hashlib.sha256()
    for folder, inside, names in os.walk(PACKAGE, followlinks=True):
        inside.sort()
        place = Path(folder).relative_to(PACKAGE)
        for name in sorted(names):
            showing = place.parts[:1] and place.parts[0] in SHOWING and name not in MEASURING
            if name.endswith(".py") and not showing:
                digest.update(f"{place / name}\0".encode())
                digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()[:DIGITS]


def _commit() -> str:
    """Return the commit of the package's sources, if they are tracked."""
    if not _git("ls-files", "__init__.py"):
        return ""
    changed = _git("status", "--porcelain", "--", ".", "../passes")
    return _git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, check=False
        )
    except OSError:  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@dataclass(frozen=True, slots=True)
class Content:
    """Digest of a model's files, empty where they cannot be read, and their bytes."""

    digest: str
    bytes: int


def content_of(path: Path) -> Content:
    """Return what identifies a model: its file and the weights beside it."""
    files = [path, *_outside(path)]
    digest = hashlib.sha256()
    try:
        for file in files:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        size = sum(file.stat().st_size for file in files)
    except OSError:
        return Content("", 0)
    return Content(digest.hexdigest()[: 2 * DIGITS], size)


def _outside(path: Path) -> list[Path]:
    """Return the files of weights beside a model; a broken model has none."""
    try:
        skeleton = onnx.ModelProto.FromString(strip_payloads(Scanned(FileSource(path)), path.name))
    except (WireError, DecodeError, RecursionError, OSError):
        return []
    tensors = filter(is_external, all_tensors(skeleton))
    names = {references(tensor).get("location", "") for tensor in tensors} - {path.name, ""}
    inside = [name for name in sorted(names) if ".." not in Path(name).parts]
    return [path.parent / name for name in inside if (path.parent / name).is_file()]
