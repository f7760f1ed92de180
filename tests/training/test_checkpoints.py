"""Checkpoints: what is damaged is found out, and said; the newest whole one is taken."""

import hashlib
import os
import resource
import shutil

import h5py
import keras
import numpy as np
import pytest

from keras_wn.errors import UsageError
from keras_wn.training.checkpoints import Checkpoints


def variables_of(seed=0, classes=2):
    """Variables of a model with dropout and of its optimizer."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(classes)]
    )
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    return [*model.variables, *optimizer.variables]


def changed(variables):
    """Other values, as a step would leave them."""
    for variable in variables:
        variable.assign(keras.ops.cast(keras.ops.convert_to_tensor(variable) + 1, variable.dtype))
    return variables


def values(variables):
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 1, 2 and 3, and what the variables held at each."""
    checkpoints, variables, held = Checkpoints(tmp_path, {"norm": "wn"}), variables_of(), {}
    for step in (1, 2, 3):
        checkpoints.write(changed(variables), step, sums=[0.1 * step, 1.0, 2.0, 4.0])
        held[step] = values(variables)
    return checkpoints, held


def newest(folder, place=-1):
    return sorted(folder.iterdir())[place]


def assert_restored(checkpoints, held, step):
    variables = variables_of(seed=9)
    assert checkpoints.restore_newest(variables) == (step, [0.1 * step, 1.0, 2.0, 4.0])
    for a, b in zip(values(variables), held, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_newest_is_restored_with_optimizer_and_random_state_and_two_are_kept(saved, tmp_path):
    checkpoints, held = saved
    assert_restored(checkpoints, held[3], 3)
    assert [path.name[:13] for path in sorted(tmp_path.iterdir())] == [
        "step-00000002",
        "step-00000003",
    ]


@pytest.mark.parametrize("damage", ["truncated", "a bit turned over", "emptied"])
def test_a_damaged_newest_one_falls_back_loudly(saved, tmp_path, damage, capsys):
    checkpoints, held = saved
    path = newest(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "a bit turned over":
        content[len(content) // 2] ^= 1
    path.write_bytes(
        content[: {"truncated": len(content) // 2, "emptied": 0}.get(damage, len(content))]
    )
    assert_restored(checkpoints, held[2], 2)
    assert f"*** Checkpoint {path.name} is damaged" in capsys.readouterr().err


def test_all_damaged_is_an_error_and_none_is_the_start(saved, tmp_path):
    checkpoints, _ = saved
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        UsageError,
        match="no checkpoint in .* is whole .*step-00000002.* Allowed: --overwrite to start anew",
    ):
        checkpoints.restore_newest(variables_of())
    for path in tmp_path.iterdir():
        path.unlink()
    assert checkpoints.restore_newest(variables_of()) == (0, [])


def test_one_of_another_method_is_refused_and_changes_nothing(saved, tmp_path):
    variables = variables_of(seed=9)
    before = values(variables)
    with pytest.raises(
        UsageError, match="another run: norm 'wn', not 'bn'. Allowed: this run's own"
    ):
        Checkpoints(tmp_path, {"norm": "bn"}).restore_newest(variables)
    for old, new in zip(before, values(variables), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_of_another_number_of_classes_is_refused(saved):
    with pytest.raises(
        UsageError,
        match="does not fit this run's network .*the data set, with its number of classes",
    ):
        saved[0].restore_newest(variables_of(classes=3))


def test_a_run_that_goes_on_from_an_earlier_step_replaces_the_later_ones(saved, tmp_path):
    checkpoints, _ = saved
    newest(tmp_path).write_bytes(b"torn")
    variables = variables_of()
    step, _ = checkpoints.restore_newest(variables)
    checkpoints.write(changed(variables), step + 1, sums=[0.1 * 3, 1.0, 2.0, 4.0])
    assert [path.name[:13] for path in sorted(tmp_path.iterdir())] == [
        "step-00000002",
        "step-00000003",
    ]
    assert_restored(checkpoints, values(variables), 3)


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_one_before(tmp_path):
    variables = variables_of(classes=1000)
    checkpoints = Checkpoints(tmp_path, {"norm": "wn"})
    checkpoints.write(variables, 1)
    before = sorted(path.name for path in tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file ends at this size, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoints.write(variables, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def named_by_its_content(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return path.rename(path.with_name(f"{path.name.split('.')[0]}.{digest}.h5"))


@pytest.mark.parametrize("place", ["sums", "variables", "variables/0"])
@pytest.mark.parametrize("how", ["external link", "soft link", "external storage"])
def test_one_with_content_of_another_file_is_refused(saved, tmp_path_factory, tmp_path, place, how):
    checkpoints, variables = saved[0], variables_of()
    path, other = newest(tmp_path), tmp_path_factory.mktemp("other")
    elsewhere = other / "elsewhere.h5"
    shutil.copy(path, elsewhere)
    with h5py.File(path, "r+") as file:
        shape = getattr(file[place], "shape", ())
        del file[place]
        if how == "external link":
            file[place] = h5py.ExternalLink(str(elsewhere), place)
        elif how == "soft link":
            file[place] = h5py.SoftLink("/elsewhere")
        else:
            raw = other / "raw"
            raw.write_bytes(bytes(4096))
            storage = [(str(raw), 0, 4096)]
            file.create_dataset(place, shape or (4,), "float32", external=storage)
    path = named_by_its_content(path)
    before = values(variables)
    with pytest.raises(UsageError, match=f"{place} in another file"):
        checkpoints.restore_newest(variables)
    assert all(np.array_equal(a, b) for a, b in zip(values(variables), before, strict=True))


def test_one_that_is_no_file_is_left_alone(saved, tmp_path):
    os.mkfifo(tmp_path / newest(tmp_path).name.replace("step-0", "step-9"))
    assert_restored(*saved[:1], saved[1][3], 3)


def test_one_that_no_run_wrote_is_refused(saved, tmp_path):
    path = newest(tmp_path)
    path.write_bytes(b"no HDF5")
    path = named_by_its_content(path)
    with pytest.raises(UsageError, match=f"--resume: {path} is no checkpoint"):
        saved[0].restore_newest(variables_of())
