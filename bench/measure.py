"""Taking the time.

Contenders are interleaved: every round times each of them once, in a new order, and
ratios are taken within a round. What a shared machine does in the meantime then hits
all of them alike. (Benchmark runners that finish one contender in processes of its own
before they start the next cannot do that.)
"""

import functools
import gc
import itertools
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from bench import roof
from bench.cases import (
    DTYPES,
    OPERATIONS,
    SMALLEST_COLD,
    Arrays,
    Case,
    equal,
    fits_in_memory,
    format_size,
)
from bench.contenders import Call, Unsupported

TIMING_SECONDS = 200e-6  # one timing lasts at least this long
SMALLEST_ROUNDS = 5
LARGEST_COLD_BYTES = 64 * 2**20  # more takes longer to flush than to measure
SETTLED_AFTER = 0.1  # seconds after which nobody's threads are waited for any more


@dataclass
class Entry:
    """A contender in one case, ready to be timed."""

    contender: object
    call: Call
    timing: Callable  # timing(number): seconds that so many statements took
    number: int = 1
    seconds: float = math.inf  # per statement, roughly


def compile_timing(statement, names):
    """A loop around the statement as tight as timeit's; names are locals, not globals."""
    code = compile(statement, "<statement>", "eval")
    used = {name: names[name] for name in code.co_names if name in names}
    source = (
        f"def timing(number, repeat, timer, {', '.join(used)}):\n"
        "    calls = repeat(None, number)\n"
        "    start = timer()\n"
        "    for _ in calls:\n"
        f"        {statement}\n"
        "    return timer() - start\n"
    )
    namespace = {}
    exec(source, namespace)
    return functools.partial(
        namespace["timing"], repeat=itertools.repeat, timer=time.perf_counter, **used
    )


class WrongResult(Exception):
    """A contender computes something else."""


class Runner:
    """Measures cases with the given contenders, the first of which is relu_ext."""

    def __init__(self, contenders, rounds, budget, cache_bytes):
        self.contenders = contenders
        self.rounds, self.budget, self.cache_bytes = rounds, budget, cache_bytes
        self.arrays = None
        gc.freeze()  # what the libraries made when they were imported is not collected again
        self.notes = {}  # in the order of appearance, each once

    def note(self, text):
        self.notes[text] = None

    def cases(self, ops, dtypes, sizes, threads, caches):
        """All cases, grouped so that those with the same arrays follow each other."""
        if "cold" in caches and not roof.can_flush():
            self.note("no cold cases: the caches of this CPU cannot be flushed from here")
        for dtype, n in itertools.product(dtypes, sizes):
            if not fits_in_memory(dtype, n):
                self.note(f"{format_size(n)} elements of {dtype} are too many for the memory here")
                continue
            for cache, t, op in itertools.product(caches, threads, ops):
                case = Case(op, dtype, n, t, cache)
                operation = OPERATIONS[op]
                exists = operation.find_kernel(dtype)
                if n * DTYPES[dtype].storage.itemsize < operation.smallest_bytes:
                    continue
                if exists and (cache == "warm" or self.differs_cold(case)):
                    yield case

    def differs_cold(self, case):
        """Whether the case makes sense, and differs, with cold caches."""
        if OPERATIONS[case.op].new_output or case.n < SMALLEST_COLD or not roof.can_flush():
            return False
        return case.bytes <= min(self.cache_bytes, LARGEST_COLD_BYTES)

    def measure(self, case):
        """Seconds per call of every contender in every round; None without relu_ext."""
        if self.arrays is None or (self.arrays.dtype, self.arrays.n) != (case.dtype, case.n):
            self.arrays = None  # freed before the next ones are made
            self.arrays = Arrays(case.dtype, case.n)
        for contender in self.contenders:
            contender.use_threads(case.threads)
        gc.collect()
        gc.disable()
        try:
            entries = [e for c in self.contenders if (e := self.enter(c, case))]
            if not entries or entries[0].contender is not self.contenders[0]:
                return None
            seconds = self.play(entries, case)
        finally:
            gc.enable()
        calls = {entry.contender.name: entry.call.statement for entry in entries}
        return asdict(case) | {"calls": calls, "seconds": seconds}

    def enter(self, contender, case):
        """The contender's fastest way to have the case done right, calibrated; or None."""
        try:
            calls = contender.calls(case, self.arrays)
        except Unsupported as reason:
            if str(reason):
                self.note(f"{contender.label}: {reason}")
            return None
        entries, problems = [], []
        for call in calls:
            try:
                self.check(contender, call, case)
            except Exception as error:  # whatever a library raises for what it does not have
                if contender is self.contenders[0]:
                    raise
                text = " ".join(str(error).split())[:100]
                problem = f"{contender.label}: `{call.statement}` with {case.dtype}: {text}"
                problems.append(problem)
                if isinstance(error, WrongResult):
                    self.note(problem)
                continue
            entry = Entry(contender, call, compile_timing(call.statement, call.names))
            self.calibrate(entry)
            entries.append(entry)
        if len(entries) > 1:
            return min(entries, key=lambda entry: self.try_out(entry, case))
        if not entries:
            for text in problems:
                self.note(text)
        return entries[0] if entries else None

    def try_out(self, entry, case):
        """How fast it is under the conditions of the rounds."""
        return min(self.time(entry, case) for _ in range(1 if entry.seconds > 5e-3 else 3))

    def check(self, contender, call, case):
        """Have the call done once; WrongResult if it does not give what it should."""
        operation, arrays = OPERATIONS[case.op], self.arrays
        if operation.in_place:
            arrays.out[...] = arrays.x
        else:
            arrays.out.view(np.uint8)[...] = 0xA5
        call.prepare()
        returned = eval(call.statement, dict(call.names))
        expected = contender.expected(case.op, arrays)
        if expected is None or (not operation.new_output and equal(arrays.out, expected)):
            return
        # Those that cannot write into a given array return another one.
        if returned is None or not equal(contender.to_numpy(returned), expected):
            raise WrongResult(f"WRONG RESULT in {case}; not timed")

    def calibrate(self, entry):
        """Find how many calls make a timing long enough, and how long a call takes."""
        entry.call.prepare()
        while (seconds := entry.timing(entry.number)) < TIMING_SECONDS:
            growth = min(10, max(1.2, 1.2 * TIMING_SECONDS / max(seconds, 1e-9)))
            entry.number = math.ceil(entry.number * growth)
        entry.seconds = seconds / entry.number

    def play(self, entries, case):
        """The rounds: as many as the budget allows, by the first one."""
        seconds = {entry.contender.name: [] for entry in entries}
        order, shuffle = list(entries), random.Random(0).shuffle
        start, rounds = time.perf_counter(), self.rounds
        played = 0
        while played < rounds:
            shuffle(order)
            for entry in order:
                seconds[entry.contender.name].append(self.time(entry, case))
            played += 1
            if played == 1:
                affordable = self.budget / (time.perf_counter() - start)
                rounds = min(self.rounds, max(SMALLEST_ROUNDS, int(affordable)))
        return seconds

    def time(self, entry, case):
        """Seconds per call, once."""
        if case.threads > 1:
            settle()
        entry.call.prepare()
        if case.cache == "cold":
            return self.time_cold(entry, case)
        # Warm: the caches hold what this contender leaves in them, and its threads
        # are awake. Needless where the caches are too small anyhow and calls are long.
        if case.bytes <= self.cache_bytes or entry.seconds < 1e-3:
            entry.timing(entry.number // 2 + 1)
        return entry.timing(entry.number) / (entry.number * entry.call.times)

    def time_cold(self, entry, case):
        """Seconds of a call after the caches were flushed: the median of some if it is short."""
        touched = [getattr(self.arrays, name) for name in {*OPERATIONS[case.op].inputs, "out"}]
        entry.timing(1)  # wakes its threads
        seconds = []
        for _ in range(min(20, 1 + 2**20 // case.bytes)):
            roof.flush(touched)
            seconds.append(entry.timing(1))
        return statistics.median(seconds)


def settle():
    """Wait until no thread of this process is busy.

    Some thread pools spin for milliseconds after their work is done, and would take
    the CPU away from whoever is timed next.
    """
    pause, give_up = 0.5e-3, time.perf_counter() + SETTLED_AFTER
    while time.perf_counter() < give_up:
        before = time.process_time()
        time.sleep(pause)
        if time.process_time() - before < pause / 4:
            return
