"""Windows and segments of a stream, and the mean where windows overlap, worked out by hand."""

import numpy as np
import pytest

from m4ser.model.windowing_m4ser import cut_segments, cut_windows, mean_scores, without_overlap


def stream(samples, *lengths):
    """0, 1, 2, ... in blocks of these lengths, in turn."""
    everything, blocks = np.arange(samples, dtype=np.float32), []
    while len(everything):
        for length in lengths:
            blocks.append(everything[:length])
            everything = everything[length:]
    return iter(blocks)


@pytest.mark.parametrize("lengths", [(100,), (1,), (3, 4), (7, 0, 1)])
@pytest.mark.parametrize(
    ("samples", "length", "hop", "expected"),
    [
        (1, 4, 4, [(0, 1)]),
        (4, 4, 2, [(0, 4)]),
        (5, 4, 4, [(0, 4), (4, 5)]),
        (8, 4, 4, [(0, 4), (4, 8)]),
        (8, 4, 2, [(0, 4), (2, 6), (4, 8)]),
        (9, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 9)]),
        (9, 4, 3, [(0, 4), (3, 7), (6, 9)]),
    ],
)
def test_windows_cover_stream_of_any_blocks(samples, length, hop, expected, lengths):
    cut = [(start, samples.tolist()) for start, samples in cut_windows(stream(samples, *lengths), length, hop)]
    assert cut == [(start, list(range(start, end))) for start, end in expected]


@pytest.mark.parametrize("lengths", [(100,), (1,), (3, 4)])
def test_segment_at_window_end_is_transcribed_again(lengths):
    windows = []

    def transcribe_segments(samples):
        windows.append((int(samples[0]), int(samples[-1]) + 1))
        start, end = windows[-1]
        words = [(1, 3, "a"), (3, 7, "b"), (8, 9, "c"), (9, 12, "d")]  # by their positions in the stream
        inside = [(max(first - start, 0), min(last, end) - start, text) for first, last, text in words]
        return [word for word in inside if word[0] < word[1]]

    cut = [
        (start, len(samples), text)
        for start, samples, text in cut_segments(stream(12, *lengths), transcribe_segments, 5)
    ]
    assert windows == [(0, 5), (3, 8), (8, 12)]
    assert cut == [(1, 2, "a"), (3, 4, "b"), (8, 1, "c"), (9, 3, "d")]


def test_stream_without_segments_ends_without_one():
    assert list(cut_segments(stream(12, 5), lambda _: [], 4)) == []


def piece(start, end, score):
    return {"start": start, "end": end, "scores": {"sad": score, "glad": 1 - score}, "text": f"from {start}"}


def test_adjacent_pieces_are_unchanged():
    pieces = [piece(0, 2, 0.25), piece(3, 4, 1.0)]
    assert list(without_overlap(pieces)) == pieces
    assert list(without_overlap([])) == []


def test_overlapping_pieces_are_averaged():
    # Of 0-4, 2-6 and 4-7: 2-4 belongs to two of them alike, 4-7 to the third, and the second reaches 2 s into it.
    joined = list(without_overlap([piece(0, 4, 1.0), piece(2, 6, 0.5), piece(4, 7, 0.0)]))
    assert [(one["start"], one["end"], one["text"]) for one in joined] == [
        (0, 2, "from 0"),
        (2, 4, "from 2"),
        (4, 7, "from 4"),
    ]
    assert [one["scores"]["sad"] for one in joined] == pytest.approx([1.0, 0.75, (2 * 0.5 + 3 * 0.0) / 5])


def test_mean_scores_are_weighted():
    assert mean_scores([{"sad": 1.0}, {"sad": 0.5}], [1, 3]) == {"sad": 0.625}
