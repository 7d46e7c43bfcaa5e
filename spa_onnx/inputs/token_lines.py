"""A file of token ids, one text a line, padded batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spa_onnx.errors import CalibrationError, CalibrationFileError
from spa_onnx.inputs.batches import Feeds
from spa_onnx.inputs.check import Checker
from spa_onnx.inputs.preprocess import Preprocess
from spa_onnx.inputs.signature import InputSpec, Signature

MOST_TEXTS = 32
"""Texts that are padded to one length."""

LONGEST_LINE = 1 << 24
"""Bytes of a line that is read."""

Text = Mapping[str, list[int]]


@dataclass(frozen=True, slots=True)
class TokenInputs:
    """The inputs of a model that reads tokens.

    Attributes:
        ids: the input that gets lines which are plain lists.
        made: what the others are made of where a line does not say: ``mask`` of ones and zeros,
            ``zeros``, or ``positions``.
    """

    ids: InputSpec
    made: Mapping[str, str]


def token_inputs(signature: Signature) -> TokenInputs:
    """Tell ids from masks and positions by name.

    Raises:
        CalibrationError: an input is none of them, or no input takes ids.
    """
    made, rest = {}, list[InputSpec]()
    for spec in signature:
        kind = _kind(spec.name.lower())
        if kind:
            made[spec.name] = kind
        else:
            rest.append(spec)
    flat = all(len(spec.shape) == 2 and spec.items == 0 for spec in signature)
    if not rest or not flat or any(spec.dtype.kind not in "iu" for spec in rest):
        raise CalibrationError(
            "lines of token ids feed inputs of integers with the axes batch and sequence; the "
            f"inputs are {signature.names()}. Give an .npz file with an array for every input"
        )
    ids = next((spec for spec in rest if spec.rows), rest[0])
    return TokenInputs(ids, made)


def _kind(name: str) -> str:
    if "mask" in name:
        return "mask"
    if "token_type" in name or "segment" in name:
        return "zeros"
    return "positions" if "position" in name else ""


def read_token_lines(path: Path, checker: Checker, steps: Preprocess) -> Iterator[Feeds]:
    """Yield texts padded on the right, some together.

    Raises:
        CalibrationFileError: a line cannot be used; says which.
    """
    signature = checker.signature
    inputs = token_inputs(signature)
    together = signature.fixed or MOST_TEXTS
    fixed = inputs.ids.shape[1]
    limit = min(n for n in (steps.length, fixed, 1 << 20) if isinstance(n, int))
    waiting: list[Text] = []
    for text in _lines(path, signature, inputs):
        if len(next(iter(text.values()))) > limit:
            checker.note(f"texts of more than {limit} tokens were cut there")
        waiting.append({name: ids[:limit] for name, ids in text.items()})
        if len(waiting) == together:
            yield _padded(waiting, signature, inputs, steps.pad_id)
            waiting = []
    if waiting:
        yield _padded(waiting, signature, inputs, steps.pad_id)


def _lines(path: Path, signature: Signature, inputs: TokenInputs) -> Iterator[Text]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if line.strip():
                    text = _text(line, signature, inputs)
                    if isinstance(text, str):
                        remedy = 'A line is a list of ids, or {"input_ids": [...], ...}'
                        raise CalibrationFileError(str(path), f"line {number} {text}", remedy)
                    yield text
    except OSError as failure:
        problem = f"cannot be read ({failure.strerror})"
        raise CalibrationFileError(str(path), problem, "Check the path and its rights") from failure


def _text(line: bytes, signature: Signature, inputs: TokenInputs) -> Text | str:
    """Return the lists of a line by input, or what is wrong with it."""
    if len(line) >= LONGEST_LINE:
        return f"is longer than {LONGEST_LINE} bytes"
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as failure:
        return f"is no JSON ({failure})"
    if isinstance(found, list):
        found = {inputs.ids.name: found}
    if not isinstance(found, dict):
        return "is neither a list nor an object"
    unknown = [n for n in found if n not in signature.inputs]
    if unknown:
        return f"names {unknown[0]!r}; the model's inputs are {', '.join(signature.inputs)}"
    missing = [n for n in signature.inputs if n not in found and n not in inputs.made]
    if missing:
        return f"lacks {missing[0]!r}"
    for name, ids in found.items():
        if not isinstance(ids, list) or not ids or not all(map(_is_id, ids)):
            return f"has {name!r} that is no list of integers"
    if len({len(ids) for ids in found.values()}) > 1:
        return "has lists of different lengths"
    return found


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62


def _padded(texts: list[Text], signature: Signature, inputs: TokenInputs, pad_id: int) -> Feeds:
    """Return texts as arrays of one length."""
    lengths = [len(next(iter(text.values()))) for text in texts]
    fixed = inputs.ids.shape[1]
    longest = fixed if isinstance(fixed, int) else max(lengths)
    feeds = {}
    for spec in signature:
        kind = inputs.made.get(spec.name, "")
        row = np.arange(longest) if kind == "positions" else np.zeros(longest, np.int64)
        array = np.tile(row if kind else np.full(longest, pad_id), (len(texts), 1))
        for k, (text, length) in enumerate(zip(texts, lengths, strict=True)):
            if spec.name in text:
                array[k, :length] = text[spec.name]
            elif kind == "mask":
                array[k, :length] = 1
        feeds[spec.name] = array
    return feeds
