from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.executors.output import CUT, DROPPED, MAX_BYTES, MAX_LINE_CHARACTERS, MAX_LINES, OutputLines
from tests.executors.conftest import UNHURRIED

Lines = list[tuple[str, str]]


def lines_of(*pieces: bytes) -> Lines:
    lines: Lines = []
    output = OutputLines(lambda stream, text: lines.append((stream, text)))
    for piece in pieces:
        output.feed("stdout", piece)
    output.finish()
    return lines


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\nc"], ["ab", "c"]),
        ([b"\n\n"], ["", ""]),
        ([b""], []),
        ([b"a\r\n"], ["a"]),
        ([b"\xff\n"], ["\ufffd"]),
        ([b"a\x00b\n"], ["ab"]),
        ([b"\xc3", b"\xa9\n"], ["é"]),
    ],
)
def test_bytes_become_lines(pieces: list[bytes], expected: list[str]) -> None:
    assert [text for _, text in lines_of(*pieces)] == expected


def test_a_long_line_is_cut() -> None:
    [(_, just_fits), (_, cut)] = lines_of(b"x" * MAX_LINE_CHARACTERS + b"\n", b"y" * 500_000, b"y\n")
    assert just_fits == "x" * MAX_LINE_CHARACTERS
    assert len(cut) == MAX_LINE_CHARACTERS
    assert cut.endswith(CUT)


def test_a_long_line_of_wide_characters_is_cut_by_characters() -> None:
    [(_, text)] = lines_of("\U0001f600".encode() * 20_000)
    assert len(text) == MAX_LINE_CHARACTERS
    assert "\ufffd" not in text


def test_too_many_lines_end_with_one_word_about_it() -> None:
    lines = lines_of(b"x\n" * (MAX_LINES + 5), b"y\n", b"z")
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == ("system", DROPPED)


def test_too_many_bytes_end_with_one_word_about_it() -> None:
    lines = lines_of(*[b"x" * 1023 + b"\n"] * 2000)
    assert MAX_BYTES // 1024 <= len(lines) <= MAX_BYTES // 1024 + 2
    assert lines[-1] == ("system", DROPPED)
    assert [stream for stream, _ in lines].count("system") == 1


def test_streams_do_not_mix_and_share_the_limit() -> None:
    lines: Lines = []
    output = OutputLines(lambda stream, text: lines.append((stream, text)))
    for stream in ("stdout", "stderr"):
        output.feed(stream, b"half")
    for stream in ("stdout", "stderr"):
        output.feed(stream, b" " + stream.encode() + b"\n" + b"x\n" * 6000)
    output.finish()
    assert ("stdout", "half stdout") in lines
    assert ("stderr", "half stderr") in lines
    assert len(lines) == MAX_LINES + 1


@UNHURRIED
@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000)))
def test_how_the_bytes_are_cut_does_not_matter(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert lines_of(*pieces) == lines_of(data)
    assert all("\x00" not in text and "\n" not in text for _, text in lines_of(data))
