"""One line of progress over files that arrive side by side."""

import pytest

from stages.fetch.bar import Bar, duration


def test_the_line_tells_files_bytes_share_rate_and_time_left() -> None:
    bar = Bar("fetching", 12, num_bytes=120_000_000)
    bar.keep(20_000_000)  # here before: no part of the rate
    bar.finish(transferred=False)
    bar.add(10_000_000)
    bar.add(30_000_000)
    assert bar.line(4.0) == "fetching: 1 of 12 files, 60.0 MB of 120.0 MB (50%), 10.0 MB/s, 6 s left"


def test_without_a_known_total_it_tells_what_has_come() -> None:
    bar = Bar("fetching", 2)
    bar.add(1_500)
    bar.finish(transferred=True)
    assert bar.line(3.0) == "fetching: 1 of 2 files, 1.5 kB, 500 bytes/s"
    assert bar.summary() == "fetching: 1 of 2 files, 1.5 kB; 1 unchanged or here already"


def test_bytes_of_a_broken_attempt_count_once() -> None:
    bar = Bar("fetching", 1, num_bytes=100)
    bar.add(60)
    bar.keep(-60)
    bar.keep(60)
    bar.add(40)
    assert bar.line(1.0) == "fetching: 0 of 1 files, 100 bytes of 100 bytes (100%), 100 bytes/s, 0 s left"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3_725, "62 min 05 s")])
def test_durations_are_minutes_and_seconds(seconds: float, text: str) -> None:
    assert duration(seconds) == text
