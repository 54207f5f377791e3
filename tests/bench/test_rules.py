"""The benchmark's rules, where they could lie."""

import copy
import unittest
from typing import Any

import rules
from rules import Samples, grown, missing, size_limits, time_limits, unsettled

REQUESTS = {"init": {"dynamodb": 1}, "first": {"dynamodb": 3}, "warm": {"dynamodb": 3}}


def run(ms: float = 1.0, **more: Any) -> dict[str, Any]:
    """A report of bench-run."""
    ns = int(ms * 1e6)
    report = {
        "first_poll_ns": ns, "first_answer_ns": ns, "warm_ns": [ns] * 100, "warm_cpu_ns": 100 * ns,
        "peak_kib": 4096, "requests": REQUESTS, "uneven_calls": 0, "connections": {"dynamodb": 1},
    }  # fmt: skip
    return {**report, **more}


def samples(**ms: float) -> dict[tuple[str, str], Samples]:
    """Samples of every subject, all figures of each the same."""
    subjects = (rules.FLOOR, *rules.FUNCTIONS, rules.NODE)
    taken = {(subject, "http"): Samples() for subject in subjects}
    for subject in subjects:
        taken[subject, "http"].add(run(ms.get(subject.split("-")[0].split(".")[0], 1.0)))
    return taken


class Settling(unittest.TestCase):
    def test_not_before_the_least_number_of_rounds(self) -> None:
        self.assertEqual(unsettled([]), ["everything"])
        self.assertEqual(unsettled([{"a": 1.0}] * 4), ["a"])
        self.assertEqual(unsettled([{"a": 1.0}] * 5), [])

    def test_one_median_that_still_moves_is_enough_to_go_on(self) -> None:
        still = {"a": 1.0, "b": 1.0}
        self.assertEqual(unsettled([still] * 5 + [{"a": 1.0, "b": 1.031}]), ["b"])
        self.assertEqual(unsettled([still] * 5 + [{"a": 1.0, "b": 1.029}]), [])
        self.assertEqual(unsettled([still] * 5 + [{"a": 0.96, "b": 1.0}]), ["a"])

    def test_slow_drift_over_the_last_rounds_counts_as_a_whole(self) -> None:
        self.assertEqual(unsettled([{"a": a} for a in (1.0, 1.0, 1.0, 1.02, 1.04)]), ["a"])

    def test_what_moved_long_ago_does_not_count(self) -> None:
        self.assertEqual(unsettled([{"a": a} for a in (9.0, 2.0, 1.0, 1.0, 1.0)]), [])


class Sampling(unittest.TestCase):
    def test_figures_are_per_call_and_in_ms(self) -> None:
        taken = Samples()
        taken.add(
            run(2.0, warm_ns=[1_000_000] * 98 + [5_000_000, 9_000_000], warm_cpu_ns=50_000_000)
        )
        self.assertEqual(
            (taken.median("init_ms"), taken.median("warm_ms"), taken.median("cpu_ms")),
            (2.0, 1.0, 0.5),
        )
        self.assertEqual((taken.p99(), taken.peak_mib()), (9.0, 4.0))

    def test_a_start_that_sends_other_requests_is_an_error(self) -> None:
        taken = Samples()
        taken.add(run())
        with self.assertRaises(ValueError):
            taken.add(run(requests={"init": {"dynamodb": 2}}))

    def test_a_warm_call_that_sends_other_requests_is_an_error(self) -> None:
        with self.assertRaises(ValueError):
            Samples().add(run(uneven_calls=1))


class Limits(unittest.TestCase):
    def test_size_and_memory_hold_up_to_the_limit(self) -> None:
        self.assertTrue(all(limit.held for limit in size_limits("f", 9_000_000, 3_700_000, 8192)))
        self.assertFalse(any(limit.held for limit in size_limits("f", 9_000_001, 3_700_001, 8193)))

    def test_times_are_compared_with_the_floor_and_with_node(self) -> None:
        held = [
            limit.held
            for limit in time_limits(samples(floor=1, create=3, stripe=3, status=3, Node=120))
        ]
        self.assertEqual(held, [True] * 5)
        held = [
            limit.held
            for limit in time_limits(samples(floor=1, create=3.1, stripe=3.1, status=3.1, Node=46))
        ]
        self.assertEqual(held, [False] * 5)


class Baseline(unittest.TestCase):
    figures = {
        "create-intent": {
            "binary bytes": 1000,
            "instructions per warm call": 100,
            "counts": REQUESTS,
        }
    }

    def changed(self, **figures: Any) -> dict[str, Any]:
        came = copy.deepcopy(self.figures)
        came["create-intent"].update(
            {name.replace("_", " "): figure for name, figure in figures.items()}
        )
        return came

    def test_up_to_five_percent_more_is_no_growth(self) -> None:
        self.assertEqual(
            grown(self.figures, self.changed(binary_bytes=1050, instructions_per_warm_call=5)), []
        )

    def test_more_is_told_with_the_figure_the_baseline_and_what_came(self) -> None:
        [complaint] = grown(self.figures, self.changed(binary_bytes=1051))
        for part in ("create-intent", "binary bytes", "1,000", "1,051", "5.1 %"):
            self.assertIn(part, complaint)

    def test_one_request_more_is_growth_wherever_it_is_sent(self) -> None:
        for when in REQUESTS:
            requests = copy.deepcopy(REQUESTS)
            requests[when]["dynamodb"] += 1
            [complaint] = grown(self.figures, self.changed(counts=requests))
            self.assertIn(when, complaint)
        requests = copy.deepcopy(REQUESTS)
        requests["init"]["stripe"] = 1
        self.assertEqual(len(grown(self.figures, self.changed(counts=requests))), 1)
        requests["init"] = {"dynamodb": 0}
        self.assertEqual(grown(self.figures, self.changed(counts=requests)), [])

    def test_a_figure_or_a_function_that_is_new_or_gone_is_told(self) -> None:
        self.assertEqual(len(grown({}, self.figures)), 2 + 3)
        self.assertEqual(len(missing(self.figures, ["create-payment"])), 1)
        self.assertEqual(missing(self.figures, ["create-intent", "refund"]), [])


if __name__ == "__main__":
    unittest.main()
