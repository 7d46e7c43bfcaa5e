import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytest.importorskip("mypy")


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy --strict says of both files, in one run."""
    root = HERE.parent.parent
    cache = tmp_path_factory.mktemp("mypy")
    files = [str(HERE / name) for name in ("calls.py", "wrong_calls.py")]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir"]
    ran = subprocess.run(
        [
            *command,
            str(cache),
            "--follow-imports=silent",
            "--config-file",
            "pyproject.toml",
            *files,
        ],
        cwd=root,
        env={**os.environ, "MYPYPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ran.stderr, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.slow
def test_calls_that_users_write_pass_the_strict_check(complaints: list[str]) -> None:
    assert [line for line in complaints if "/calls.py" in line] == []


@pytest.mark.slow
def test_wrong_calls_do_not(complaints: list[str]) -> None:
    found = {
        int(match[1]): match[2]
        for line in complaints
        if (match := re.search(r"wrong_calls\.py:(\d+): error: .*\[([\w-]+)\]", line))
    }
    lines = (HERE / "wrong_calls.py").read_text(encoding="utf-8").splitlines()
    expected = {
        number: line.partition("# error: ")[2].split("|")
        for number, line in enumerate(lines, 1)
        if "# error: " in line
    }
    assert found.keys() == expected.keys()
    for number, codes in expected.items():
        assert found[number] in codes, lines[number - 1]
