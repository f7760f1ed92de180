import pytest

from keras_wn.training import steps


@pytest.mark.parametrize("step", [0, 1, 9, 10, 11, 20, 29, 30])
def test_parts_cover_what_is_left_each_step_once(step):
    covered = []
    for part in steps.parts(step, steps_per_epoch=10, epochs=3):
        position = part.first_step
        for epoch in range(part.first_epoch, part.last_epoch):
            assert position // 10 == epoch
            covered += range(position, position + part.steps_per_epoch)
            position += part.steps_per_epoch
    assert covered == list(range(step, 30))
