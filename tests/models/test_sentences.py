"""Sentences become token ids as BERT's tokenizer makes them."""

import importlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("tokenizers", reason="only this script needs it")
MODELS = Path(__file__).parents[2] / "models"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["▁the", "▁dog", "▁runs", "▁over", "▁fields", "▁jump", "ing", "▁."]


def test_examples_of_a_few_words_become_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    script = importlib.import_module("sentences")
    database = tmp_path / "wordnet"
    database.mkdir()
    uses = ("The dog runs over fields.", "the dog", "jumping over the fields runs")
    entry = "00001 a word | to move; " + "; ".join(f'"{use}"' for use in uses)
    for part in ("noun", "verb", "adj", "adv"):
        (database / f"data.{part}").write_text(entry + "\n", encoding="utf-8")
    vocabulary, output = tmp_path / "vocab.json", tmp_path / "tokens.jsonl"
    vocabulary.write_text(json.dumps(PIECES + WORDS), encoding="utf-8")
    done = CliRunner().invoke(script.main, [str(database), str(vocabulary), str(output)])
    assert done.exit_code == 0, done.output
    lines = sorted(json.loads(line) for line in output.read_text(encoding="utf-8").splitlines())
    assert lines == [[2, 5, 6, 7, 8, 9, 12, 3], [2, 10, 11, 8, 5, 9, 7, 3]]
