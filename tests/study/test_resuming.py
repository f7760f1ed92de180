"""Trials on images that are read from files, stopped and gone on with."""

import dataclasses

import pytest

from keras_wn import models
from keras_wn.study.kept_state import KeptState
from keras_wn.study.specs import Setting
from keras_wn.study.trial import Trial, Trials
from tests.data.conftest import image_folder  # noqa: F401  A fixture.
from tests.study.made_up import TINY
from tests.training.conftest import tiny


@pytest.mark.slow
@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_trial_that_was_stopped_ends_as_one_that_was_not(
    image_folder,  # noqa: F811
    tmp_path,
    planner_of,
    monkeypatch,
    stopped_after,
):
    monkeypatch.setitem(models._BUILDERS, "tiny", tiny)
    protocol = TINY.changed(
        dataclasses.replace(TINY.of("work"), points=()),
        model="tiny",
        dataset="imagenet",
        data_dir=str(image_folder),
        image_size=32,
        train_size=None,
        label_noise=0.0,
        batch_size=8,
    )
    spec = planner_of(protocol=protocol).spec(
        "accuracy",
        "final",
        "bn",
        Setting(0.05, 1e-4, 0.0),
        1,
        splits=("train", "test"),
        curve_epochs=(1, 2, 3),
    )
    whole = Trials(protocol, tmp_path / "whole").run(spec)
    end_epoch = Trial.end_epoch

    def stopping(self, epoch, metrics):
        if epoch > stopped_after:
            raise KeyboardInterrupt
        return end_epoch(self, epoch, metrics)

    with monkeypatch.context() as patch:
        # After the last epoch, the trial is stopped once it is measured.
        if stopped_after < protocol.train_epochs:
            patch.setattr(Trial, "end_epoch", stopping)
        else:
            patch.setattr(KeptState, "clear", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Trials(protocol, tmp_path / "stopped").run(spec)
    resumed = Trials(protocol, tmp_path / "stopped").run(spec)
    assert {key: resumed[key] for key in ("final", "curves", "epochs", "status")} == {
        key: whole[key] for key in ("final", "curves", "epochs", "status")
    }
    assert list((tmp_path / "stopped").iterdir()) == []
