"""The benchmark. The Makefile's verbs build what it needs.

bench.py full [ROUNDS]  the functions beside a hello world and peers in Node.js and Python, over
                        plain HTTP and over TLS, in so many rounds at the most; writes
                        docs/performance.md and its chart
bench.py light          what of it needs no time to be measured, held to baseline.json
bench.py light write    makes what was measured the baseline
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rules
from chart import chart
from rules import FLOOR, FUNCTIONS, NODE, PYTHON, TRANSPORTS, All, Limit, Samples

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "local"))
from containers import install, run_long
from stack import LOCAL, ROOT, Say, StackError, stop_on_signals

HERE = ROOT / "tests" / "bench"
LAMBDA = ROOT / "target" / "lambda"
BASELINE = HERE / "baseline.json"
PAGE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "performance.svg"
#: When requests are sent, as bench-run has it.
WHEN = ("init", "first", "warm")
#: Between these lines of the page is what this program writes.
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
#: The Node.js peer as one file, and the folder with what it is made of.
NODE_PEER, NODE_SOURCE = LOCAL / "bench" / "peer.cjs", HERE / "node"

#: Every sample of the full benchmark.
RAW = LOCAL / "bench" / "samples.json"

#: Starts of each subject in a round, and warm calls after each.
STARTS, WARM_CALLS = 5, 200
#: Warm calls over which instructions are counted, and starts of which memory is the most.
COUNTED_CALLS, LIGHT_STARTS = 100, 3
#: How often a count is tried that a time-out has spoiled.
COUNTED_TRIES = 20
#: Seconds that one run may take; valgrind is slow.
RUN_SECONDS = 300

BYTES, ZIPPED, PEAK = "binary bytes", "zipped bytes", "peak memory, KiB"
IR_FIRST, IR_WARM = "instructions until the first answer", "instructions per warm call"


@dataclass(frozen=True)
class Subject:
    """What is measured."""

    name: str
    #: What it is given to do.
    job: str
    command: tuple[str, ...]
    #: The file that is deployed: an executable, or a bundle for a runtime.
    file: Path | None
    #: Whether valgrind can count its instructions: not of a runtime that compiles as it goes.
    counted: bool = True


def function(name: str) -> Subject:
    binary = LAMBDA / name / "bootstrap"
    return Subject(name, name, (str(binary),), binary)


def subjects() -> list[Subject]:
    floor = LAMBDA / "floor" / "bootstrap"
    node = str(Path(shutil.which("node") or "node").resolve())
    # Not a link to it: `.venv` is known by the path by which its Python is called.
    python = str(ROOT / ".venv" / "bin" / "python")
    return [
        Subject(FLOOR, "floor", (str(floor),), floor),
        *map(function, FUNCTIONS),
        Subject(NODE, "create-intent", (node, str(NODE_PEER)), NODE_PEER, counted=False),
        Subject(
            PYTHON, "create-intent", (python, str(HERE / "python_peer.py")), None, counted=False
        ),
    ]


class Runner:
    """Runs subjects under bench-run, each run in a folder of its own."""

    def __init__(self, bench_run: Path, folder: Path) -> None:
        self.bench_run = bench_run
        self.folder = folder
        self.runs = 0

    def run(
        self, subject: Subject, calls: int, transport: str = "http", before: Sequence[str] = ()
    ) -> tuple[dict[str, Any], Path]:
        """What bench-run reports of one start and so many calls, and the folder of the run."""
        self.runs += 1
        folder = self.folder / str(self.runs)
        folder.mkdir()
        command = [
            str(self.bench_run),
            "--job", subject.job, "--calls", str(calls), "--folder", str(folder),
            *(["--tls"] if transport == "tls" else []),
            "--", *(part.replace("FOLDER", str(folder)) for part in before), *subject.command,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
        if done.returncode != 0:
            raise StackError(f"{subject.name} over {transport}: {done.stderr.strip()}")
        report: dict[str, Any] = json.loads(done.stdout)
        return report, folder

    def instructions(
        self, subject: Subject, calls: int, transport: str
    ) -> tuple[int, dict[str, Any]]:
        """Instructions of one start and so many calls, and what bench-run reports of it."""
        valgrind = [
            shutil.which("valgrind") or "valgrind", "--tool=cachegrind", "--cache-sim=no",
            "--cachegrind-out-file=/dev/null", "--log-file=FOLDER/valgrind.log",
        ]  # fmt: skip
        report, folder = self.run(subject, calls, transport, valgrind)
        log = (folder / "valgrind.log").read_text()
        counted = re.search(r"I\s+refs:\s+([\d,]+)", log)
        if counted is None:
            raise StackError(f"valgrind must count what {subject.name} does; it wrote:\n{log}")
        return int(counted[1].replace(",", "")), report

    def both(self, subject: Subject, transport: str, plain: Samples) -> tuple[int, int]:
        """Instructions until the first answer, and per warm call."""
        first = self.counted(subject, 1, transport, plain)
        total = self.counted(subject, 1 + COUNTED_CALLS, transport, plain)
        return first, round((total - first) / COUNTED_CALLS)

    def counted(self, subject: Subject, calls: int, transport: str, plain: Samples) -> int:
        """Instructions of a run that sends and connects as it does without valgrind. Slowed down,
        it may run into a time-out and do that again, even before a request is sent: that is no
        measure, and is counted anew. A wrong answer is an error at once."""
        # A run of one call has no warm one.
        whens = WHEN if calls > 1 else WHEN[:2]
        for _ in range(COUNTED_TRIES):
            count, report = self.instructions(subject, calls, transport)
            same = all(report["requests"][when] == plain.requests[when] for when in whens)
            if same and report["connections"] == plain.connections and not report["uneven_calls"]:
                return count
        raise StackError(
            f"{subject.name} must send and connect the same under valgrind as without; it did "
            f"not in {COUNTED_TRIES} runs: use a machine that does nothing else"
        )


def zipped(file: Path) -> int:
    """Bytes of the zip that AWS SAM would upload, which compresses as Python does by default."""
    with tempfile.TemporaryFile() as target:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(file, file.name)
        return target.tell()


@contextmanager
def runner(bench_run: Path) -> Iterator[Runner]:
    if not bench_run.exists():
        raise StackError(
            f"{bench_run} must be there; it is not: start the benchmark by its verb, with make"
        )
    with tempfile.TemporaryDirectory(prefix="phone-payments-bench-") as folder:
        yield Runner(bench_run, Path(folder))


# ---- light ----


def measure_light(runner: Runner, subject: Subject, tell: Say) -> dict[str, Any]:
    """A function's figures that no other load on the machine changes."""
    tell(f"measuring {subject.name}")
    assert subject.file is not None
    reports = [runner.run(subject, 1 + COUNTED_CALLS)[0] for _ in range(LIGHT_STARTS)]
    taken = Samples()
    for report in reports:
        taken.add(report)
    first, warm = runner.both(subject, "http", taken)
    names = ("requests at init", "requests of the first call", "requests per warm call")
    requests = {name: taken.requests[when] for name, when in zip(names, WHEN, strict=True)}
    return {
        IR_FIRST: first,
        IR_WARM: warm,
        BYTES: subject.file.stat().st_size,
        ZIPPED: zipped(subject.file),
        PEAK: max(taken.peak_kib),
        "counts": {**requests, "connections": taken.connections},
    }


def light(write: bool, tell: Say) -> int:
    install("valgrind", "valgrind", tell)
    with runner(ROOT / "target" / "debug" / "bench-run") as running:
        came = {name: measure_light(running, function(name), tell) for name in FUNCTIONS}
    for name, figures in came.items():
        for what, figure in figures.items():
            tell(f"{name}: {what}: {told(figure)}")
    limits = [
        limit
        for name, figures in came.items()
        for limit in rules.size_limits(name, figures[BYTES], figures[ZIPPED], figures[PEAK])
    ]
    complaints = [
        f"{limit.what} may be {limit.limit}; {limit.came} came"
        for limit in limits
        if not limit.held
    ]
    if write:
        BASELINE.write_text(
            json.dumps({"machine": platform.machine(), "functions": came}, indent=2) + "\n"
        )
        tell(f"wrote {BASELINE.relative_to(ROOT)}")
    else:
        baseline = json.loads(BASELINE.read_text())
        if baseline["machine"] == platform.machine():
            known = baseline["functions"]
            growth = rules.grown(known, came) + rules.missing(known, came)
            if growth:
                growth.append(
                    "to make this the baseline: make bench-light BASELINE=write, in the commit "
                    "that causes it, with the reason in its message"
                )
            complaints += growth
        else:
            tell(f"the baseline is of {baseline['machine']}: only the limits are checked here")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not complaints:
        tell("within the limits" if write else "within the limits and the baseline")
    return int(bool(complaints))


def told(figure: Any) -> str:
    """A figure, or the requests, for people."""
    if isinstance(figure, dict):
        return "; ".join(f"{what}: {sent(sides)}" for what, sides in figure.items())
    return f"{figure:,}"


def sent(sides: dict[str, int]) -> str:
    """Requests to each outside system that got one."""
    names = {
        "dynamodb": "DynamoDB",
        "secrets_manager": "Secrets Manager",
        "stripe": "Stripe",
        "genesys": "Genesys",
    }
    return ", ".join(f"{count} {names[side]}" for side, count in sides.items() if count) or "none"


# ---- full ----


def prepare_node(tell: Say) -> None:
    """Installs the Node.js peer's SDKs and bundles it."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise StackError(f"{program} must be there; it is not: install Node.js 20 or newer")
    npm = ("npm", "--prefix", str(NODE_SOURCE), "--silent")
    run_long(tell, "installing what the Node.js peer needs", *npm, "ci", "--no-audit", "--no-fund")
    NODE_PEER.parent.mkdir(parents=True, exist_ok=True)
    run_long(tell, "bundling it", *npm, "run", "bundle", "--", f"--outfile={NODE_PEER}")


def measure_rounds(runner: Runner, most: int, tell: Say) -> tuple[All, int, list[str]]:
    """All subjects, by turns, round after round until the medians settle."""
    samples = {
        (subject.name, transport): Samples() for transport in TRANSPORTS for subject in subjects()
    }
    rounds: list[dict[str, float]] = []
    moving = ["everything"]
    while moving and len(rounds) < most:
        for _ in range(STARTS):
            for transport in TRANSPORTS:
                for subject in subjects():
                    report, _ = runner.run(subject, 1 + WARM_CALLS, transport)
                    samples[subject.name, transport].add(report)
        rounds.append(rules.medians(samples))
        moving = rules.unsettled(rounds)
        raw = {"/".join(of): vars(taken) for of, taken in samples.items()}
        RAW.write_text(json.dumps(raw))
        tell(f"round {len(rounds)}: {len(moving)} of {len(rounds[-1])} medians still move")
    return samples, len(rounds), moving


def measure_instructions(runner: Runner, tell: Say) -> dict[str, tuple[int, int]]:
    """Instructions until the first answer and per warm call, over plain HTTP. Over TLS valgrind
    makes the first handshake so slow that it runs into the functions' own time-outs."""
    tell("counting instructions under valgrind")
    counted = {}
    for subject in subjects():
        if subject.counted:
            plain = Samples()
            plain.add(runner.run(subject, 1 + COUNTED_CALLS)[0])
            counted[subject.name] = runner.both(subject, "http", plain)
    return counted


def full(most: int, tell: Say) -> int:
    load = os.getloadavg()[0]
    install("valgrind", "valgrind", tell)
    prepare_node(tell)
    with runner(LAMBDA / "bench-run" / "bootstrap") as running:
        # First what may fail on a busy machine: the rounds take long.
        counted = measure_instructions(running, tell)
        samples, rounds, moving = measure_rounds(running, most, tell)
    limits = rules.time_limits(samples)
    for name in FUNCTIONS:
        file = LAMBDA / name / "bootstrap"
        peak = max(samples[name, "http"].peak_kib)
        limits += rules.size_limits(name, file.stat().st_size, zipped(file), peak)
    figures = report(samples, counted, load, limits, rounds, moving)
    print(figures)
    write_page(figures)
    CHART.write_text(chart(samples))
    tell(f"wrote {PAGE.relative_to(ROOT)} and {CHART.relative_to(ROOT)}")
    missed = [limit for limit in limits if not limit.held]
    for limit in missed:
        print(f"{limit.what} may be {limit.limit}; {limit.came} came", file=sys.stderr)
    return int(bool(missed))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def machine() -> str:
    """What the figures hold for; nothing that names a place."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    kernel = re.match(r"[\d.]+", platform.release())
    name = model[1] if model else platform.machine()
    version = kernel[0] if kernel else platform.release()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, Linux {version}"


def times(samples: All, transport: str) -> str:
    """The table of one transport."""

    def row(subject: str, taken: Samples) -> list[str]:
        return [
            subject,
            f"{taken.median('init_ms'):.1f}",
            f"{taken.median('first_ms'):.1f}",
            f"{taken.median('warm_ms'):.2f}",
            f"{taken.p99():.2f}",
            f"{taken.median('cpu_ms'):.2f}",
            f"{taken.peak_mib():.1f}",
        ]

    head = [
        "", "Init, ms", "First answer, ms", "Warm call, ms", "p99, ms",
        "CPU per warm call, ms", "Peak memory, MiB",
    ]  # fmt: skip
    return table(
        head, [row(subject, taken) for (subject, via), taken in samples.items() if via == transport]
    )


def report(
    samples: All,
    counted: dict[str, tuple[int, int]],
    load: float,
    limits: Sequence[Limit],
    rounds: int,
    moving: Sequence[str],
) -> str:
    """What goes into the page."""
    if not moving:
        settled = f"The medians settled after {rounds} rounds."
    elif rounds < rules.LEAST_ROUNDS:
        settled = f"The run had {rounds} rounds, too few to tell whether the medians settled."
    else:
        settled = f"After {rounds} rounds {len(moving)} medians still moved by 3 % or more."

    def size(subject: Subject) -> list[str]:
        file = subject.file
        return [
            subject.name,
            *(f"{count / 1e6:.2f}" for count in counted.get(subject.name, ())),
            *([] if subject.counted else ["", ""]),
            "" if file is None else f"{file.stat().st_size:,}",
            "" if file is None else f"{zipped(file):,}",
        ]

    sizes = table(
        ["", "Until the first answer", "Per warm call", "Bytes", "Zipped bytes"],
        map(size, subjects()),
    )
    requests = table(
        ["", "At init", "First call", "Warm call"],
        (
            [subject, *(sent(samples[subject, "http"].requests[when]) for when in WHEN)]
            for subject in dict.fromkeys(subject for subject, _ in samples)
        ),
    )
    held = table(
        ["Limit", "May be", "Came", ""],
        (
            [limit.what, limit.limit, limit.came, "held" if limit.held else "**missed**"]
            for limit in limits
        ),
    )
    parts = [
        f"`make bench` on {time.strftime('%Y-%m-%d')}, on {machine()}.\n"
        f"Load of the machine before the run, by others: {load:.1f}. {settled}\n"
        f"A round is {STARTS} starts of each subject over each transport, and {WARM_CALLS} warm "
        "calls after each start.\nEvery answer was right.",
        "![The figures of the tables below as bars](performance.svg)",
        "Outside systems over plain HTTP:",
        times(samples, "http"),
        "Outside systems over TLS:",
        times(samples, "tls"),
        "Instructions in millions, over plain HTTP, and sizes:",
        sizes,
        "Requests to outside systems:",
        requests,
        "Limits, over plain HTTP:",
        held,
    ]
    return "\n\n".join(parts)


def write_page(figures: str) -> None:
    """Puts the figures between the page's marks."""
    page = PAGE.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise StackError(
            f"{PAGE.relative_to(ROOT)} must have {BEGIN} and {END} once each; it has not"
        )
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}")


def main() -> int:
    stop_on_signals()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    try:
        match sys.argv[1:]:
            case ["full"]:
                return full(rules.MOST_ROUNDS, tell)
            case ["full", most] if most.isdecimal() and int(most) > 0:
                return full(int(most), tell)
            case ["light"]:
                return light(False, tell)
            case ["light", "write"]:
                return light(True, tell)
            case other:
                print(
                    f"bench.py takes full, full ROUNDS, light or light write, not {other}",
                    file=sys.stderr,
                )
                return 2
    except KeyboardInterrupt:
        return 130
    except (StackError, subprocess.TimeoutExpired, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
