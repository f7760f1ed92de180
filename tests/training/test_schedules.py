import keras
import numpy as np
import pytest

from keras_wn.training import schedules


def rates(name, steps, total=100, warmup=10, power=1.0):
    schedule = schedules.build(name, 0.4, total, warmup, power)
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("name", schedules.names())
def test_warm_up_is_linear_and_ends_at_the_peak(name):
    assert rates(name, [0, 4, 9, 10]) == pytest.approx([0.04, 0.2, 0.4, 0.4])


def test_warm_up_of_power_2_is_the_square_of_the_linear_one():
    assert rates("cosine", [0, 4, 9, 10], power=2.0) == pytest.approx([0.004, 0.1, 0.4, 0.4])


@pytest.mark.parametrize("name", schedules.names())
def test_without_warm_up_the_first_step_has_the_peak(name):
    assert rates(name, [0], warmup=0) == pytest.approx([0.4])


def test_polynomial_is_of_power_2_and_ends_at_0():
    assert rates("polynomial", [55, 100]) == pytest.approx([0.4 * 0.5**2, 0])


def test_cosine_is_half_in_the_middle_and_ends_at_0():
    assert rates("cosine", [55, 100]) == pytest.approx([0.2, 0], abs=1e-7)


def test_stepwise_drops_to_a_tenth_at_a_third_two_thirds_and_eight_ninths():
    steps = [0, 29, 30, 59, 60, 79, 80, 89]
    assert rates("stepwise", steps, total=90, warmup=0) == pytest.approx(
        [0.4, 0.4, 0.04, 0.04, 0.004, 0.004, 0.0004, 0.0004]
    )
    # After a warm-up of 10 steps, a third of the other 90.
    assert rates("stepwise", [39, 40]) == pytest.approx([0.4, 0.04])


@pytest.mark.parametrize("name", schedules.names())
def test_rates_are_those_of_the_schedule_wherever_they_are_read(name):
    schedule = schedules.build(name, 0.4, total_steps=3000, warmup_steps=100)
    whole = np.asarray(schedule(np.arange(3000, dtype="float32")))
    rates = schedules.Rates(schedule, 9000, steps_per_update=3)
    assert len(rates) == 9000
    # In an order that leaves a part and comes back to it.
    for first, end in ((8999, 9000), (0, 5), (4094, 4099), (9, 12)):
        expected = whole[np.arange(first, end) // 3]
        np.testing.assert_allclose(rates[first:end], expected, rtol=1e-6)
        assert rates[first] == rates[first:end][0]


@pytest.mark.parametrize("name", schedules.names())
def test_a_schedule_of_any_length_takes_no_memory(name):
    steps = 10**14
    rates = schedules.Rates(schedules.build(name, 0.4, steps, 10), steps)
    assert rates[:2].tolist() == pytest.approx([0.04, 0.08])
    assert rates[steps - 1] == pytest.approx(0.0004 if name == "stepwise" else 0.0, abs=1e-6)


def test_unknown_schedule_and_a_warm_up_without_end_are_refused():
    with pytest.raises(
        ValueError, match="Unknown schedule 'linear'. Allowed: polynomial, cosine, stepwise"
    ):
        schedules.build("linear", 0.1, 100, 10)
    with pytest.raises(ValueError, match="warm-up of 100 steps is not allowed. Allowed: 0 to 99"):
        schedules.build("cosine", 0.1, 100, 100)


def test_schedule_is_saved():
    schedule = schedules.build(
        "cosine", peak=0.4, total_steps=100, warmup_steps=10, warmup_power=2.0
    )
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert [float(copy(s)) for s in (3, 50)] == [float(schedule(s)) for s in (3, 50)]
