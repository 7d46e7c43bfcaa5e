"""What is known about one model after its turn: one line of the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal[
    "proved",
    "not proved",
    "refused",
    "failed proof",
    "invalid",
    "crash",
    "timeout",
    "out of memory",
    "not loadable",
]
"""How a turn ended, the worst that happened.

- ``proved``: pruned, proved, and the file is valid; ``not proved``: the same without the proof.
- ``refused``: an error of spa-onnx that tells why, and no file.
- ``failed proof``: the proof found a difference, and no file was written.
- ``invalid``: a file was written that the checker or ONNX Runtime refuses.
- ``crash``: any other exception, or the death of the process; ``timeout``, ``out of memory``.
- ``not loadable``: ONNX Runtime does not load the original either, so that it counts nowhere.
"""


Ending = Literal["", "refused", "failed proof", "out of memory", "crash"]
"""What an exception in the process means; empty where none was raised."""


@dataclass(frozen=True, slots=True)
class ReasonShare:
    """A reason for what stayed, and the share of the parameters in weights with such an axis."""

    reason: str
    share: float


@dataclass(frozen=True, slots=True)
class Analysed:
    """What the analysis says about the model.

    Attributes:
        nodes: nodes of the normalised graph with its bodies.
        parameters: of the original.
        prunable: share of the parameters that would go if every prunable dim went.
        dims: number of prunable dims.
        reasons: what keeps most parameters whole, heaviest first.
        unknown_operators: operator type -> nodes that no rule covers.
    """

    nodes: int
    parameters: int
    prunable: float
    dims: int
    reasons: tuple[ReasonShare, ...]
    unknown_operators: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning did.

    Attributes:
        parameters: share removed.
        operations: share removed.
        difference: largest of the proof; None without a proof, or where it is not finite.
        power: what the proof would have noticed; None as above.
        uncompared: outputs that the proof could not compare.
    """

    parameters: float
    operations: float
    difference: float | None
    power: float | None
    uncompared: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Largest resident sizes of the process, in bytes.

    Attributes:
        base: with the libraries loaded and no model.
        compiler: when the proof began, or at the end of a run without one.
        whole: after the proof.
    """

    base: int
    compiler: int
    whole: int


@dataclass(frozen=True, slots=True)
class Check:
    """Whether ONNX Runtime takes a file at its usual settings, by a session and one run.

    Attributes:
        loads: a session opens.
        runs: one run on made-up inputs succeeds; None where none was tried.
        problem: what went wrong.
    """

    loads: bool
    runs: bool | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the process of a model found out before it ended.

    Attributes:
        stage: the last that began.
        seconds: by stage of the compiler.
        memory: see there.
        pruned: None where nothing was written.
        analysed: None where the analysis gave up.
        original: the model in ONNX Runtime.
        result: the pruned model in ONNX's checker and in ONNX Runtime.
        error: class of what was raised first.
        text: of it.
        ending: what it means.
    """

    stage: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: Memory | None = None
    pruned: Pruned | None = None
    analysed: Analysed | None = None
    original: Check | None = None
    result: Check | None = None
    error: str = ""
    text: str = ""
    ending: Ending = ""


@dataclass(frozen=True, slots=True)
class Key:
    """What a result depends on; equal keys need no second run.

    Attributes:
        content: digest of the model file and of the weights beside it.
        ratio: share of every dim that goes.
        importance: name of the pass.
        proved: whether the proof is on.
        compiler: version of spa-onnx and a digest of its sources.
        libraries: versions of what it builds on.
    """

    content: str
    ratio: float
    importance: str
    proved: bool
    compiler: str
    libraries: str


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a file of results.

    Attributes:
        model: name of the model when it ran.
        key: what the result depends on.
        outcome: see ``Outcome``.
        facts: what is known.
        bytes: size of the model with its weights.
        wall: seconds of the whole turn, with the start of the process.
        limit: seconds that it had.
        memory_limit: bytes that it had; 0 without a limit.
        commit: of the sources, where they lie in a repository.
    """

    model: str
    key: Key
    outcome: Outcome
    facts: Facts
    bytes: int
    wall: float
    limit: float
    memory_limit: int = 0
    commit: str = ""

    @property
    def loads(self) -> bool:
        """Say whether ONNX Runtime loads the original; in doubt it does."""
        return self.facts.original is None or self.facts.original.loads

    @property
    def removed(self) -> float | None:
        """Return the share of parameters removed, None where no valid file came out."""
        good = self.outcome in ("proved", "not proved") and self.facts.pruned is not None
        return self.facts.pruned.parameters if good and self.facts.pruned else None

    @property
    def compile_seconds(self) -> float | None:
        """Return the seconds of analysis and rewriting, None where one did not finish."""
        seconds = self.facts.seconds
        if self.removed is None or "analyse" not in seconds or "rewrite" not in seconds:
            return None
        return seconds["analyse"] + seconds["rewrite"]
