"""On what TFDS' own builder makes of tiny tars."""

import io
import os
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_wn.data import detect, imagenet_tfds, prepare
from keras_wn.training.errors import UsageError
from tests.data.conftest import jpeg

pytestmark = pytest.mark.slow
FORMS = ("array_record", "tfrecord")
_VALIDATION_IMAGES = 7


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_tars(folder, broken=None):
    """A train tar of 1,000 tars of one image, one of them broken, and a validation tar."""
    folder.mkdir(parents=True)
    names = (tfds.core.tfds_path("datasets/imagenet2012/labels.txt")).read_text().split()
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as train:
        for i, name in enumerate(names):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                data = jpeg(i, size=(40, 32))
                add(tar, f"{name}_{i}.JPEG", data[:200] if i == broken else data)
            add(train, f"{name}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as tar:
        for i in range(_VALIDATION_IMAGES):
            add(tar, f"ILSVRC2012_val_{i + 1:08d}.JPEG", jpeg(5000 + i, size=(40, 32)))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Data folders by form, built once from the same tars. Training image 500 is cut off."""
    root = tmp_path_factory.mktemp("imagenet")
    folders = {}
    for form in FORMS:
        folders[form] = root / form
        write_tars(folders[form] / "downloads" / "manual", broken=500)
        prepare.prepare(folders[form], form, allow_partial=True)
    return folders


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy of the prepared tfrecord folder, to be spoiled."""
    shutil.copytree(prepared["tfrecord"], tmp_path / "copy")
    return tmp_path / "copy"


def version(folder):
    return next((folder / "imagenet2012").glob("*.*.*"))


@pytest.mark.parametrize("form", FORMS)
def test_splits_are_those_of_imagenet(prepared, form):
    splits = detect.load("imagenet", prepared[form], 32, allow_partial=True)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [
        990,
        10,
        _VALIDATION_IMAGES,
    ]
    assert (
        splits.classes == 1000
        and splits.image_shape == (32, 32, 3)
        and splits.name == "imagenet2012"
    )
    names = [
        part.source.name(i)
        for part in (splits.train, splits.validation)
        for i in range(0, len(part), 9)
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("form", FORMS)
def test_streams_can_be_resumed_and_shared_out_bit_for_bit(
    prepared, form, assert_stream, monkeypatch
):
    monkeypatch.setattr(imagenet_tfds, "WINDOW", 400)
    splits = imagenet_tfds.load(prepared[form], 16, allow_partial=True)
    whole = assert_stream(splits.train, batch_size=330, classes=1000, steps=5, resumed_at=(2, 3))
    shown = sum(labels.sum(axis=0) for _, labels in whole[:3])
    # Every image once an epoch; the broken one, if it is not held out, is replaced by another.
    assert shown.sum() == 990 and (shown == 1).sum() >= 988
    assert not np.array_equal(whole[0][1], whole[3][1])  # Another order in the next epoch.
    assert all(name.endswith("_500.JPEG") for name in splits.corrupt.names)


@pytest.mark.parametrize("form", FORMS)
def test_every_image_is_scored_once_for_awkward_sizes(prepared, form, assert_evaluation):
    splits = imagenet_tfds.load(prepared[form], 16, allow_partial=True)
    assert_evaluation(splits.test, 1000)
    images = [splits.test.source.record(i) for i in range(len(splits.test))]
    assert {name for _, _, name in images} == {
        f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(_VALIDATION_IMAGES)
    }


def test_both_forms_hold_the_same_and_a_broken_record_is_counted_by_its_file_name(prepared, take):
    names = []
    for form in FORMS:
        splits = imagenet_tfds.load(prepared[form], 16, max_corrupt=3, allow_partial=True)
        for part in (splits.train, splits.validation):
            take(part.evaluation_batches(200, 1000), None)
        names += splits.corrupt.names
    assert len(names) == 2 and names[0] == names[1] and names[0].endswith("_500.JPEG")


@pytest.mark.parametrize("form", FORMS)
def test_records_by_position_are_those_of_the_stream(prepared, form, take):
    source = imagenet_tfds.load(prepared[form], 16, allow_partial=True).train.source
    for positions, data, labels in take(source.evaluation_rows(500, 1, (0, 1)), None):
        for i in (0, len(positions) - 1):
            expected, label, _ = source.record(int(positions[i]))
            assert data[i] == expected and labels[i] == label


def test_missing_files_are_counted_and_named(copy):
    for path in version(copy).glob("*train*tfrecord*"):
        os.remove(path)
    with pytest.raises(
        UsageError,
        match=r"\d+ of \d+ files are missing in .*: 'imagenet2012-train.tfrecord-00000-of-",
    ):
        imagenet_tfds.load(copy)


def test_interrupted_preparation_is_told_from_none(copy):
    folder = version(copy)
    folder.rename(folder.parent / "incomplete.ABC_5.1.0")
    with pytest.raises(
        UsageError, match="prepared in part only: it holds 'incomplete.ABC_5.1.0'.*--prepare"
    ):
        imagenet_tfds.load(copy)
    shutil.rmtree(folder.parent)
    with pytest.raises(
        UsageError, match="imagenet2012/ is not prepared. Lay ILSVRC2012_img_train.tar"
    ):
        imagenet_tfds.load(copy)
    with pytest.raises(
        UsageError, match="neither train/ and val/ .* nor imagenet2012/ .* is there. Lay ILSVRC2012"
    ):
        detect.load("imagenet", copy)


def test_report_names_what_is_missing_with_its_size(tmp_path):
    text = prepare.report(tmp_path)
    assert "missing: ILSVRC2012_img_train.tar, 147,897,477,120 bytes" in text
    assert "missing: ILSVRC2012_img_val.tar, 6,744,924,160 bytes" in text
    assert "bytes free, about 154,642,401,280 needed" in text
    with pytest.raises(
        UsageError,
        match=r"missing ILSVRC2012_img_train.tar \(147,897,477,120 bytes\), ILSVRC2012_img_val.tar",
    ):
        prepare.prepare(tmp_path)
    assert not list(tmp_path.iterdir())


def test_report_warns_of_other_sizes_and_says_what_is_prepared(prepared):
    text = prepare.report(prepared["tfrecord"], allow_partial=True)
    assert (
        "warning: " in text
        and "bytes, not ImageNet's 6,744,924,160" in text
        and "enough disk space" in text
    )
    assert "prepared: 990 training images, 10 validation images, 7 test images" in text


def test_report_of_an_image_folder_counts(image_folder):
    text = prepare.report(image_folder)
    assert (
        "train/: 3 classes, 27 images" in text
        and "val/: 3 classes, 9 images" in text
        and "complete" in text
    )
    shutil.rmtree(image_folder / "val" / "bee")
    (image_folder / "train" / "cat" / "gone.JPEG").symlink_to("/nowhere")
    text = prepare.report(image_folder)
    assert "train/: 1 files that may not be read: " in text and "not usable: " in text


def test_what_cannot_be_prepared_is_said_in_a_line(tmp_path):
    for name in prepare.TARS:
        (tmp_path / name).write_bytes(b"not a tar" * 200)
    with pytest.raises(UsageError, match="TFDS cannot read the tars") as error:
        prepare.prepare(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(
        UsageError, match="--file_format=csv: unknown. Allowed: array_record, tfrecord."
    ):
        prepare.prepare(tmp_path, "csv")
    with pytest.raises(UsageError, match="no such folder"):
        prepare.report(tmp_path / "nowhere")
