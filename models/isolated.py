"""Run functions that may crash, hang or eat all memory, each in a process of its own.

A function gets a ``Stages`` to say what it is doing; each of its stages may take a limited time.
What it returns comes back, or what went wrong, and in which stage. Children are forks, which have
the libraries loaded, and are started from one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Generic, TypeVar

Case = TypeVar("Case")
Figures = Mapping[str, Any]
LONGEST_TEXT = 300


@dataclass(slots=True)
class Stages:
    """Tells of stages as they start, and keeps how long they took.

    Attributes:
        tell: called with the name of a stage.
        seconds: wall-clock seconds of each finished stage; the last run of a name counts.
    """

    tell: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        """Time what runs within."""
        self.tell(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a function.

    Attributes:
        figures: what it returned; None where it did not return.
        stages: seconds of the stages that it finished.
        stage: the one in which it failed.
        error: empty, or what went wrong.
        timed_out: whether it was ended for taking too long.
    """

    figures: Figures | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    stage: str = ""
    error: str = ""
    timed_out: bool = False


Function = Callable[[Case, Stages], Figures]


def one_line(text: str) -> str:
    """Return a text of any length and alphabet as one short line of ASCII."""
    flat = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    return flat[:LONGEST_TEXT]


def work(function: Function[Case], case: Case, answer: Connection, memory: int) -> None:
    """Run in a child: send the name of every stage, and at last an ``Outcome``."""
    silence()
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    current = [""]

    def tell(stage: str) -> None:
        current[0] = stage
        answer.send(stage)

    stages = Stages(tell)
    try:
        outcome = Outcome(function(case, stages), stages.seconds)
    except BaseException as error:  # a row of the table is where any failure belongs
        text = one_line(f"{type(error).__name__}: {error}")
        outcome = Outcome(None, stages.seconds, current[0], text)
    answer.send(outcome)
    answer.close()


def silence() -> None:
    """Send what libraries print, from Python or C++, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


@dataclass(slots=True)
class Child(Generic[Case]):
    """A running process, its last known stage, and when that has taken too long."""

    case: Case
    process: ForkProcess
    receiver: Connection
    deadline: float
    stage: str = ""

    def listen(self, limit: float) -> Outcome | None:
        """Read one message; return an outcome where there is one, or the process is no more."""
        try:
            message = self.receiver.recv()
        except EOFError:
            self.process.join()
            return self.lost(f"crashed with exit code {self.process.exitcode}")
        if isinstance(message, Outcome):
            return message
        self.stage, self.deadline = message, time.monotonic() + limit
        return None

    def lost(self, error: str, timed_out: bool = False) -> Outcome:
        """Return the outcome of a process that sent none."""
        return Outcome(stage=self.stage, error=error, timed_out=timed_out)

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self.process.join(0 if self.stage else 0.1)
        self.process.kill()
        self.process.join()
        self.receiver.close()


def start(function: Function[Case], case: Case, limit: float, memory: int) -> Child[Case]:
    """Fork a child that works on a case."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(function, case, sender, memory))
    process.start()
    sender.close()  # or the end of the child would never show
    return Child(case, process, receiver, time.monotonic() + limit)


def run_isolated(
    function: Function[Case], cases: Iterable[Case], limit: float, memory: int, jobs: int = 1
) -> Iterator[tuple[Case, Outcome]]:
    """Yield the outcome of every case as it ends.

    Args:
        function: what to run.
        cases: what to run it on.
        limit: seconds for each stage.
        memory: bytes of private memory that a process may have.
        jobs: processes at a time.
    """
    waiting = iter(cases)
    children: dict[Connection, Child[Case]] = {}
    while True:
        while len(children) < jobs:
            try:
                child = start(function, next(waiting), limit, memory)
            except StopIteration:
                break
            children[child.receiver] = child
        if not children:
            return
        next_deadline = min(child.deadline for child in children.values())
        ready = set(wait(list(children), timeout=max(0.0, next_deadline - time.monotonic())))
        for receiver, child in list(children.items()):
            outcome = child.listen(limit) if receiver in ready else None
            if outcome is None and time.monotonic() > child.deadline:
                outcome = child.lost(f"no result after {limit:.0f} s", timed_out=True)
            if outcome is not None:
                child.end()
                del children[receiver]
                yield child.case, outcome
