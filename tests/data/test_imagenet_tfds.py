"""On what TFDS' own builder makes of tiny tars."""

import io
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_wn.data import datasets, imagenet_tfds, prepare
from keras_wn.errors import UsageError
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
def tars(tmp_path_factory):
    """Folder with the two tars."""
    folder = tmp_path_factory.mktemp("tars") / "tars"
    write_tars(folder)
    return folder


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
    splits = datasets.load("imagenet", prepared[form], 32, allow_partial=True)
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


def edit_info(folder, **values):
    """Changes values of the training split in dataset_info.json."""
    path = version(folder) / "dataset_info.json"
    record = json.loads(path.read_text())
    next(split for split in record["splits"] if split["name"] == "train").update(values)
    path.write_text(json.dumps(record))


def cut_records(folder):
    path = next(version(folder).glob("*train*"))
    path.write_bytes(path.read_bytes()[:-1000])


def without_features(folder):
    (version(folder) / "features.json").unlink()


def of_other_classes(folder):
    path = version(folder) / "features.json"
    path.write_text(path.read_text().replace('"1000"', '"10"'))
    path = version(folder) / "label.labels.txt"
    path.write_text("\n".join(path.read_text().split()[:10]) + "\n")


def of_other_names(folder):
    path = version(folder) / "features.json"
    path.write_text(path.read_text().replace('"label"', '"target"'))


def emptied(name):
    return lambda folder: (version(folder) / name).write_bytes(b"")


def torn(name):
    path = version
    return lambda folder: (path(folder) / name).write_bytes(
        (path(folder) / name).read_bytes()[:100]
    )


def made_a_folder(name):
    def make(folder):
        (version(folder) / name).unlink()
        (version(folder) / name).mkdir()

    return make


def made_a_fifo(name):
    def make(folder):
        (version(folder) / name).unlink()
        os.mkfifo(version(folder) / name)

    return make


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "damage",
    [
        *[
            make(name)
            for make in (emptied, torn, made_a_folder, made_a_fifo)
            for name in ("dataset_info.json", "features.json")
        ],
        cut_records,
        without_features,
        of_other_classes,
        of_other_names,
        lambda folder: edit_info(folder, shardLengths=["2000"]),
        lambda folder: edit_info(folder, shardLengths=["500"]),
        lambda folder: edit_info(folder, shardLengths=[]),
        lambda folder: edit_info(folder, name="training"),
    ],
)
def test_a_damaged_set_is_one_line_before_training(prepared, form, tmp_path, damage):
    shutil.copytree(prepared[form] / "imagenet2012", tmp_path / "imagenet2012")
    damage(tmp_path)
    with pytest.raises(UsageError, match=f"^--data_dir={tmp_path}: ") as error:
        datasets.load("imagenet", tmp_path, 32, allow_partial=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", FORMS)
def test_records_damaged_inside_end_the_run_in_one_line(prepared, form, tmp_path, take):
    shutil.copytree(prepared[form] / "imagenet2012", tmp_path / "imagenet2012")
    path = next(version(tmp_path).glob("*train*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(5000)
    path.write_bytes(data)
    splits = datasets.load("imagenet", tmp_path, 32, allow_partial=True)
    for read in (
        lambda: take(splits.train.training_batches(400, 1000, seed=0), 2),
        lambda: take(splits.train.evaluation_batches(400, 1000), None),
        lambda: splits.train.sample(900, seed=0),
    ):
        with pytest.raises(UsageError, match="A file of records is damaged") as error:
            with splits.corrupt.explained():
                read()
        assert "\n" not in str(error.value)


def test_the_digest_is_of_the_files_in_any_place(prepared, copy):
    digests = [
        imagenet_tfds.load(folder, 16, allow_partial=True).digest
        for folder in (prepared["tfrecord"], copy, prepared["array_record"])
    ]
    assert digests[0] == digests[1] != digests[2]


def test_fewer_images_than_published_are_refused(prepared):
    with pytest.raises(
        UsageError,
        match="not the data that were published: the train split has 1,000 of 1,281,167 images, "
        "the validation split has 7 of 50,000 images. Allowed: all of them",
    ):
        datasets.load("imagenet", prepared["tfrecord"], 32)


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
        datasets.load("imagenet", copy)


def repacked(folder, name, change):
    """Writes a tar again, with the names and data that `change` makes of its list of pairs."""
    path = folder / name
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(path, "w") as tar:
        for member in change(members):
            add(tar, *member)


def inner(count):
    """The bytes of a tar of some images."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for number in range(count):
            add(tar, f"{number}.JPEG", b"")
    return stream.getvalue()


TRAIN, VALIDATION = prepare.TARS


@pytest.mark.parametrize(
    "name, change, message, allowed",
    [
        (TRAIN, lambda m: m[:1], "lacks 999 of 1,000 synsets: 'n.*' and 994 more", True),
        (TRAIN, lambda m: [*m[:-1], (m[-1][0], inner(0))], "has no images of 'n", True),
        (TRAIN, lambda m: [*m, ("n99999999.tar", inner(1))], "holds 'n99999999'. Allowed", False),
        (TRAIN, lambda m: [*m, ("README", b"read me")], "holds 'README'. Allowed", False),
        (TRAIN, lambda m: [(f"train/{n}", d) for n, d in m], "holds 'train/n.*' and 995", False),
        (TRAIN, lambda m: [*m[:-1], (m[-1][0], b"x" * 999)], "TFDS cannot read the tars", False),
        (VALIDATION, lambda m: m[1:], "holds '.*val_00000002.JPEG', .*, without gaps", False),
        (VALIDATION, lambda m: [(f"val/{n}", d) for n, d in m], "holds 'val/ILSVRC", False),
        (VALIDATION, lambda m: [(f"{n}.jpg", d) for n, d in m], "holds 'ILSVRC.*jpg'", False),
        (VALIDATION, lambda m: m[:3], "has 3 of 50,000 images", True),
        (VALIDATION, lambda m: [], "has 0 of 50,000 images", True),
    ],
)
def test_tars_of_other_images_are_refused_before_they_are_prepared(
    tars, tmp_path, name, change, message, allowed
):
    for path in tars.iterdir():
        shutil.copy(path, tmp_path)
    repacked(tmp_path, name, change)
    with pytest.raises(UsageError, match=message) as error:
        prepare.prepare(tmp_path)
    assert "\n" not in str(error.value) and not (tmp_path / "imagenet2012").exists()
    assert ("--allow_partial" in str(error.value)) == allowed
    if not allowed:
        with pytest.raises(UsageError, match=message):
            prepare.prepare(tmp_path, allow_partial=True)


def test_a_cut_tar_is_one_line(tars, tmp_path):
    for path in tars.iterdir():
        shutil.copy(path, tmp_path)
    for name in (VALIDATION, TRAIN):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UsageError, match="TFDS cannot read the tars|not the data that were"):
            prepare.prepare(tmp_path)


@pytest.mark.parametrize(
    "leave",
    [
        lambda folder: folder.mkdir(),
        lambda folder: (folder / "5.1.0").mkdir(parents=True),
        lambda folder: (folder / "incomplete.ABC_5.1.0").mkdir(parents=True),
    ],
    ids=["nothing", "an empty version", "an interrupted preparation"],
)
def test_a_failed_preparation_can_be_run_again(tars, tmp_path, leave, capsys):
    leave(tmp_path / "imagenet2012")
    for name in prepare.TARS:
        (tmp_path / name).write_bytes(b"not a tar" * 200)
    for _ in range(2):
        with pytest.raises(UsageError, match="TFDS cannot read the tars"):
            prepare.run(None, str(tmp_path), "tfrecord")
    for path in tars.iterdir():
        shutil.copy(path, tmp_path)
    prepare.run(None, str(tmp_path), "tfrecord", allow_partial=True)
    assert "prepared: 990 training images" in capsys.readouterr().out
    # A prepared set is looked at, and not prepared again.
    for name in prepare.TARS:
        (tmp_path / name).unlink()
    prepare.run(None, str(tmp_path), "tfrecord", allow_partial=True)


def test_files_of_a_version_that_is_not_finished_are_not_deleted(tars, tmp_path):
    for path in tars.iterdir():
        shutil.copy(path, tmp_path)
    kept = tmp_path / "imagenet2012" / "5.1.0" / "imagenet2012-train.tfrecord-00000-of-01024"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half")
    with pytest.raises(UsageError, match="has no dataset_info.json and is not empty"):
        prepare.run(None, str(tmp_path), "tfrecord", allow_partial=True)
    assert kept.read_bytes() == b"half"


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
