"""A pipeline that lives long: thousands of calls, good and bad, in one process."""

import warnings

import numpy as np
import pytest

from benchmarks.timing import resident_memory
from m4ser import AudioError, M4SERPipeline
from tests.assertions import assert_same, noise, wav

CALLS, BATCH = 5000, 4
WARM = CALLS // 5  # calls, after which memory is to stay
MOST_GROWTH = 50  # MB
BAD = (
    b"",
    b"no audio",
    "nowhere.wav",
    np.full(800, np.nan, np.float32),
    {"bytes": wav(noise(800))[:40], "text": "so"},
)


@pytest.mark.soak
def test_calls_leave_memory_and_scores_alone(tiny_folder):
    warnings.simplefilter("ignore")
    classify, rng = M4SERPipeline.from_pretrained(tiny_folder), np.random.default_rng(0)
    good = [{"bytes": wav(noise(800 * (5 + index), index)), "text": f"so heart {index}"} for index in range(20)]
    expected = [classify(recording) for recording in good]
    memory = []
    for call in range(CALLS):
        index = int(rng.integers(len(good)))
        bad = BAD[call % len(BAD)]
        if call % 3 == 0:
            outputs = classify([bad, good[index], bad, good[index]], batch_size=BATCH)
            assert "error" in outputs[0] and "error" in outputs[2]
            assert_same(outputs[1], expected[index])
            assert_same(outputs[3], expected[index])
        elif call % 3 == 1:
            with pytest.raises(AudioError):
                classify(bad)
        else:
            assert_same(classify(good[index]), expected[index])
        if call in (WARM, CALLS - 1):
            memory.append(resident_memory("VmRSS"))
    assert memory[1] - memory[0] < MOST_GROWTH, memory
