"""fp16: one scaler for both optimizers, which step together or not at all; bf16 needs none."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from m4ser.training.arguments import Arguments, DataArguments, ModelArguments, ObjectiveArguments, TrainingArguments
from m4ser.training.loop import NonFiniteError, train_step
from m4ser.training.state import TrainingState
from tests.tiny import collate, recordings, tiny_model
from tests.training.scaler import scaled_accelerator

SCALE = 2.0**10
ARGUMENTS = Arguments(
    ModelArguments(),
    DataArguments(dataset="unused"),
    ObjectiveArguments(adversarial_weight=0.5),
    TrainingArguments(output_dir="unused", learning_rate=1e-3, schedule="linear"),
)
SIDES = ("network", "discriminator")


@pytest.fixture(autouse=True)
def fresh_state():
    """One process has one precision."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.fixture
def window():
    rows = recordings([1500, 800, 500, 400], [4, 9, 2, 5])
    return [collate(rows[start::2]) | {"ids": ["a", "b"]} for start in (0, 1)]


def create(accelerator):
    torch.manual_seed(0)
    return TrainingState.create(tiny_model(), ARGUMENTS, total_steps=10, accelerator=accelerator)


def weights(state):
    return {
        name: {key: value.clone() for key, value in part.module.state_dict().items()}
        for name, part in state.trainable.items()
    }


def steps_done(state):
    """Of each side: optimizer steps and steps of the schedule."""
    done = {}
    for name, part in state.trainable.items():
        moments = part.optimizer.optimizer.state.values()
        done[name] = (max((int(value["step"]) for value in moments), default=0), part.scheduler.last_epoch)
    return done


def test_scaled_steps_equal_plain_ones(window):
    """Two accumulated batches a step, clipped; a power of two scales without rounding."""
    plain_accelerator = Accelerator(cpu=True)
    plain = create(plain_accelerator)
    expected = [train_step(plain, window, ARGUMENTS, plain_accelerator) for _ in range(3)]
    AcceleratorState._reset_state()
    accelerator = scaled_accelerator(SCALE, autocast=False)
    state = create(accelerator)
    assert [train_step(state, window, ARGUMENTS, accelerator) for _ in range(3)] == [
        pytest.approx(losses, abs=1e-6) for losses in expected
    ]
    for name in SIDES:
        torch.testing.assert_close(weights(state)[name], weights(plain)[name], rtol=0, atol=1e-6)
    assert steps_done(state) == dict.fromkeys(SIDES, (3, 3))


def test_half_precision_steps_both_sides(window):
    accelerator = scaled_accelerator(SCALE)
    state = create(accelerator)
    dtypes = []
    state.model.classifier.register_forward_hook(lambda *values: dtypes.append(values[-1].dtype))
    before = weights(state)
    for _ in range(3):
        train_step(state, window, ARGUMENTS, accelerator)
    assert set(dtypes) == {torch.float16}
    assert steps_done(state) == dict.fromkeys(SIDES, (3, 3))
    for name in SIDES:
        assert not torch.equal(next(iter(weights(state)[name].values())), next(iter(before[name].values())))


@pytest.mark.parametrize("side", SIDES)
def test_overflow_on_one_side_skips_both(side, window):
    accelerator = scaled_accelerator(SCALE, autocast=False)
    state = create(accelerator)
    train_step(state, window, ARGUMENTS, accelerator)
    before, done = weights(state), steps_done(state)
    overflow = next(state.trainable[side].module.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    train_step(state, window, ARGUMENTS, accelerator)
    for name in SIDES:
        torch.testing.assert_close(weights(state)[name], before[name], rtol=0, atol=0)
        assert all(parameter.grad is None for parameter in state.trainable[name].module.parameters())
    assert steps_done(state) == done
    assert accelerator.scaler.get_scale() == SCALE / 2
    assert state.progress.skipped == 1
    overflow.remove()
    train_step(state, window, ARGUMENTS, accelerator)
    assert steps_done(state) == dict.fromkeys(SIDES, (2, 2))


def test_nonfinite_loss_leaves_the_scaler_usable(window):
    accelerator = scaled_accelerator(SCALE, autocast=False)
    state = create(accelerator)
    classifier = state.model.classifier.weight
    kept = classifier.detach().clone()
    with torch.no_grad():
        classifier.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="step 1, on the recordings a, b"):
        train_step(state, window, ARGUMENTS, accelerator)
    assert accelerator.scaler.get_scale() == SCALE
    with torch.no_grad():
        classifier.copy_(kept)
    train_step(state, window, ARGUMENTS, accelerator)
    assert steps_done(state) == dict.fromkeys(SIDES, (1, 1))


def test_scaler_is_resumed(window, tmp_path):
    accelerator = scaled_accelerator(SCALE, autocast=False)
    state = create(accelerator)
    train_step(state, window, ARGUMENTS, accelerator)
    overflow = next(state.model.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    train_step(state, window, ARGUMENTS, accelerator)
    overflow.remove()
    train_step(state, window, ARGUMENTS, accelerator)
    expected = accelerator.scaler.state_dict()
    state.save(tmp_path, {}, accelerator, keep=1)

    AcceleratorState._reset_state()
    other = scaled_accelerator(2.0**3, autocast=False)
    resumed = create(other)
    resumed.load(tmp_path, {}, other)
    assert other.scaler.state_dict() == expected
    assert (expected["scale"], expected["_growth_tracker"]) == (SCALE / 2, 1)
    assert resumed.progress.skipped == 1
    losses = [
        train_step(*pair) for pair in ((state, window, ARGUMENTS, accelerator), (resumed, window, ARGUMENTS, other))
    ]
    assert losses[0] == losses[1]


def test_bf16_steps_without_a_scaler(window):
    plain_accelerator = Accelerator(cpu=True)
    expected = train_step(create(plain_accelerator), window, ARGUMENTS, plain_accelerator)
    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    assert accelerator.scaler is None
    state = create(accelerator)
    losses = train_step(state, window, ARGUMENTS, accelerator)
    assert losses == pytest.approx(expected, rel=0.1, abs=0.1)
    assert losses != expected
    assert steps_done(state) == dict.fromkeys(SIDES, (1, 1))
