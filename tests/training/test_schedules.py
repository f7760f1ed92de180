import keras
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
    assert rates("stepwise", [29, 31, 61, 81], total=90, warmup=0) == pytest.approx(
        [0.4, 0.04, 0.004, 0.0004]
    )


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
