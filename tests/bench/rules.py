"""What the benchmark decides by: when its medians have settled, which limits hold, what has grown
since the baseline. Nothing here measures; `test_rules.py` holds it to its word.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: The name of the hello world among the subjects, and of the peers.
FLOOR, NODE, PYTHON = "floor", "Node.js peer", "Python peer"
FUNCTIONS = ("create-intent", "stripe-webhook", "status-query")
#: How the outside systems are reached.
TRANSPORTS = ("http", "tls")

#: Rounds of the full benchmark: at least, at most.
LEAST_ROUNDS, MOST_ROUNDS = 5, 20
#: A median has settled when the last so many rounds have moved it by less than this share.
SETTLED_ROUNDS, SETTLED_SHARE = 3, 0.03

#: The share by which a figure may grow beyond its baseline.
GROWTH = 0.05
#: What a function may be at the most: bytes of its binary and of its zip, KiB of memory over HTTP.
MOST_BYTES, MOST_ZIPPED, MOST_KIB = 9_000_000, 3_700_000, 8 * 1024
#: The most that spawn to first poll may take, in times of the floor.
MOST_INIT = 3
#: The least that Node.js must take, in times of create-intent: until the first answer, and of CPU
#: per warm call.
LEAST_FIRST_ANSWER, LEAST_CPU = 40, 15

#: Figures in the order of the tables: name in the samples, name for people.
HEADLINES = {
    "init_ms": "Init, ms",
    "first_ms": "First answer, ms",
    "warm_ms": "Warm call, ms",
    "cpu_ms": "CPU per warm call, ms",
}


@dataclass
class Samples:
    """What one subject took, of all rounds, over one transport."""

    #: ms from its start to its first poll of the Runtime API, one for each start.
    init_ms: list[float] = field(default_factory=list)
    #: ms from its start to its first answer, one for each start.
    first_ms: list[float] = field(default_factory=list)
    #: ms from event to answer, one for each warm call.
    warm_ms: list[float] = field(default_factory=list)
    #: ms of CPU per warm call, one for each start.
    cpu_ms: list[float] = field(default_factory=list)
    #: KiB of memory at the most, one for each start.
    peak_kib: list[int] = field(default_factory=list)
    #: Requests to each outside system at init, in the first and in a warm call.
    requests: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Connections to each outside system, of the last start.
    connections: dict[str, int] = field(default_factory=dict)

    def add(self, run: Mapping[str, Any]) -> None:
        """Takes what one run of bench-run has printed."""
        if run["uneven_calls"]:
            raise ValueError(
                f"every warm call must send the same requests; {run['uneven_calls']} sent others: "
                "a request has run into a time-out, so run this on a machine that does nothing else"
            )
        if self.requests and self.requests != run["requests"]:
            raise ValueError(
                f"every start must send the same requests: {self.requests}, then {run['requests']}"
            )
        self.requests = run["requests"]
        self.connections = run["connections"]
        self.init_ms.append(run["first_poll_ns"] / 1e6)
        self.first_ms.append(run["first_answer_ns"] / 1e6)
        self.warm_ms += [ns / 1e6 for ns in run["warm_ns"]]
        self.cpu_ms.append(run["warm_cpu_ns"] / 1e6 / len(run["warm_ns"]))
        self.peak_kib.append(run["peak_kib"])

    def median(self, name: str) -> float:
        """The median of one of `HEADLINES`."""
        figures: list[float] = getattr(self, name)
        return statistics.median(figures)

    def p99(self) -> float:
        """What 99 of 100 warm calls take at the most, in ms."""
        ordered = sorted(self.warm_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]

    def peak_mib(self) -> float:
        """The most memory of all starts, in MiB."""
        return max(self.peak_kib) / 1024


#: All samples, by subject and transport.
All = Mapping[tuple[str, str], Samples]


def medians(samples: All) -> dict[str, float]:
    """Every headline median, by a name that says whose it is."""
    return {
        f"{HEADLINES[name]} of {subject} over {transport}": taken.median(name)
        for (subject, transport), taken in samples.items()
        for name in HEADLINES
    }


def unsettled(rounds: Sequence[Mapping[str, float]]) -> list[str]:
    """The medians that the last rounds have moved too far; all, before the least number."""
    if len(rounds) < LEAST_ROUNDS:
        return list(rounds[-1]) if rounds else ["everything"]
    last = rounds[-SETTLED_ROUNDS:]
    spans = {name: [after[name] for after in last] for name in last[-1]}
    return [name for name, span in spans.items() if max(span) >= min(span) * (1 + SETTLED_SHARE)]


@dataclass(frozen=True)
class Limit:
    """An absolute limit and how far a figure is from it."""

    what: str
    limit: str
    came: str
    held: bool


def size_limits(function: str, binary: int, zipped: int, peak_kib: int) -> list[Limit]:
    """The limits that need no time to be measured."""
    return [
        Limit(
            f"binary of {function}",
            f"{MOST_BYTES:,} bytes",
            f"{binary:,} bytes",
            binary <= MOST_BYTES,
        ),
        Limit(
            f"zip of {function}",
            f"{MOST_ZIPPED:,} bytes",
            f"{zipped:,} bytes",
            zipped <= MOST_ZIPPED,
        ),
        Limit(
            f"memory of {function}",
            f"{MOST_KIB / 1024:.1f} MiB",
            f"{peak_kib / 1024:.1f} MiB",
            peak_kib <= MOST_KIB,
        ),
    ]


def time_limits(samples: All) -> list[Limit]:
    """The limits that are times of another subject's time, over plain HTTP."""

    def median(subject: str, name: str) -> float:
        return samples[subject, "http"].median(name)

    limits = []
    for function in FUNCTIONS:
        times = median(function, "init_ms") / median(FLOOR, "init_ms")
        limits.append(
            Limit(
                f"init of {function}",
                f"{MOST_INIT} x the floor's",
                f"{times:.2f} x",
                times <= MOST_INIT,
            )
        )
    for name, what, least in (
        ("first_ms", "first answer of create-intent", LEAST_FIRST_ANSWER),
        ("cpu_ms", "CPU per warm call of create-intent", LEAST_CPU),
    ):
        times = median(NODE, name) / median("create-intent", name)
        limits.append(Limit(what, f"1/{least} of Node.js's", f"1/{times:.1f}", times >= least))
    return limits


def grown(baseline: Mapping[str, Any], came: Mapping[str, Any]) -> list[str]:
    """What has grown beyond its baseline: says the figure, the baseline and what came."""
    complaints = []
    for function, figures in came.items():
        before = baseline.get(function, {})
        for name, figure in figures.items():
            if name == "counts":
                continue
            if name not in before:
                complaints.append(f"{function}: {name} has no baseline; it is {figure:,}")
            elif figure > before[name] * (1 + GROWTH):
                more = 100 * (figure / before[name] - 1)
                complaints.append(
                    f"{function}: {name} may grow by {100 * GROWTH:.0f} % at the most; "
                    f"the baseline is {before[name]:,}, {figure:,} came, {more:.1f} % more"
                )
        for what, sides in figures["counts"].items():
            for side, count in sides.items():
                known = before.get("counts", {}).get(what, {}).get(side, 0)
                if count > known:
                    complaints.append(
                        f"{function}: {what}, to {side}, may not grow; "
                        f"the baseline is {known}, {count} came"
                    )
    return complaints


def missing(baseline: Mapping[str, Any], came: Iterable[str]) -> list[str]:
    """Functions of the baseline that were not measured: a new name must not hide growth."""
    gone = [function for function in baseline if function not in came]
    return [f"{function}: it is in the baseline and was not measured" for function in gone]
