"""The runner on data sets that lie in folders."""

import json
import shutil

import pytest
import tensorflow_datasets as tfds

from keras_wn.data import prepare
from keras_wn.errors import UsageError
from keras_wn.training import loop, run
from tests.data.conftest import image_folder  # noqa: F401  A fixture.
from tests.data.test_idx import DEBIAN
from tests.data.test_imagenet_tfds import write_tars
from tests.parameters import slow
from tests.runners.processes import HERE, finish
from tests.training.conftest import config  # noqa: F401  A fixture.

SMALL = ("--norm=wn", "--batch_size=8", "--image_size=32", "--train_epochs=2", "--init_batches=1")


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_image_folder_with_a_corrupt_file_trains_and_names_it(
    image_folder,  # noqa: F811
    tmp_path,
    config,  # noqa: F811
    capsys,
):
    broken = image_folder / "train/bee/bee_3.JPEG"
    broken.write_bytes(broken.read_bytes()[:300])
    flags = {
        "data_dir": str(image_folder),
        "batch_size": 8,
        "image_size": 32,
        "train_epochs": 2,
        "init_batches": 1,
    }
    result = loop.train(config(**flags))
    out, err = capsys.readouterr()
    assert out.startswith(
        "Data: images in folders by class: 24 training, 3 validation, 9 test images."
    )
    assert "bee_3.JPEG" in err and [name[-10:] for name in result["corrupt_images"]] == [
        "bee_3.JPEG"
    ]
    assert result["status"] == "finished"
    with pytest.raises(UsageError, match="bee_3.JPEG.* Allowed: at most --max_corrupt=0."):
        loop.train(config(**flags, max_corrupt=0, model_dir=str(tmp_path / "strict")))


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda root: shutil.rmtree(root / "val"), "val"),
        (
            lambda root: [
                shutil.rmtree(root / part / name)
                for part in ("train", "val")
                for name in ("ant", "bee")
            ],
            "class",
        ),
        (lambda root: shutil.rmtree(root / "val/ant"), "ant"),
    ],
    ids=["no val", "one class", "classes differ"],
)
def test_half_an_image_folder_is_refused(
    image_folder,  # noqa: F811
    tmp_path,
    damage,
    message,
    config,  # noqa: F811
):
    damage(image_folder)
    asked = config(
        data_dir=str(image_folder), image_size=32, batch_size=8, model_dir=str(tmp_path / "run")
    )
    with pytest.raises(UsageError, match=message) as error:
        loop.train(asked)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def empty(root, part):
    for path in (root / part).rglob("*.JPEG"):
        path.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "wn"], ids=["in training", "in a sample"])
def test_images_that_are_all_broken_are_one_line(
    image_folder,  # noqa: F811
    tmp_path,
    norm,
):
    empty(image_folder, "train")
    flags = (f"--data_dir={image_folder}", f"--model_dir={tmp_path}/run", f"--norm={norm}")
    # Methods that do not start from data read none before they train.
    small = SMALL if norm == "wn" else SMALL[:-1]
    code, _, err = finish(HERE / "tiny.py", *small, *flags)
    line = err.splitlines()[-1]
    assert code == 2 and "Traceback" not in err
    assert line.startswith("tiny.py: error: 8 images in a row cannot be decoded. Images that")


@pytest.mark.parametrize("part", ["train", slow("val")])
def test_a_folder_that_is_deleted_during_the_run_is_one_line(
    image_folder,  # noqa: F811
    config,  # noqa: F811
    monkeypatch,
    part,
):
    end_epoch = run.Run.end_epoch

    def end_epoch_and_unmount(self, *arguments):
        shutil.rmtree(image_folder / part)
        monkeypatch.undo()
        return end_epoch(self, *arguments)

    monkeypatch.setattr(run.Run, "end_epoch", end_epoch_and_unmount)
    flags = {"batch_size": 8, "image_size": 32, "train_epochs": 2, "norm": "none"}
    with pytest.raises(UsageError, match="8 images in a row cannot be decoded. .*No such file"):
        loop.train(config(data_dir=str(image_folder), **flags))


def test_what_is_left_out_is_said_at_the_start_and_odd_names_train(
    image_folder,  # noqa: F811
    config,  # noqa: F811
    capsys,
):
    (image_folder / "train" / "bee" / "notes.txt").write_text("")
    for part in ("train", "val"):
        (image_folder / part / "bee").rename(image_folder / part / "b\udce9\n")
    odd = image_folder / "train" / "b\udce9\n"
    (odd / "bee_3.JPEG").write_bytes(b"")
    flags = {"batch_size": 8, "image_size": 32, "train_epochs": 2, "norm": "none"}
    result = loop.train(config(data_dir=str(image_folder), **flags))
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == "Left out: 1 file that is not an image (.txt 1)."
    assert result["status"] == "finished"
    assert "b\\udce9\\n/bee_3.JPEG" in err


@pytest.mark.parametrize("augment", ["standard", slow("paper")])
def test_cifar_trains_by_mock_data(config, augment):  # noqa: F811
    with tfds.testing.mock_data(num_examples=96):
        result = loop.train(
            config(
                dataset="cifar10",
                allow_partial=True,
                augment=augment,
                batch_size=16,
                train_epochs=1,
                warmup_epochs=0.0,
                norm="wn_trelu",
            )
        )
    assert result["status"] == "finished" and result["data"]["images"]["test"] == 96


@pytest.mark.slow
def test_imagenet_from_tars_through_the_runner_to_a_result(tmp_path):
    """The other format is tested in tests/data/test_imagenet_tfds.py."""
    write_tars(tmp_path / "data/downloads/manual")
    flags = (f"--data_dir={tmp_path}/data", f"--model_dir={tmp_path}/run", "--allow_partial")
    code, _, err = finish(HERE / "tiny.py", "--prepare", flags[0])
    assert code == 2 and "Traceback" not in err
    assert (
        "ILSVRC2012_img_train.tar has 1,000 of 1,281,167 images, ILSVRC2012_img_val.tar has 7 of "
        "50,000 images. Allowed: all of them, or another number with --allow_partial." in err
    )
    # What was refused, or failed, can be done again.
    (tmp_path / "data/imagenet2012/5.1.0").mkdir(parents=True)
    code, out, err = finish(HERE / "tiny.py", "--prepare", flags[0], flags[2])
    assert code == 0, err
    assert "warning: " in out and "prepared: " in out and not (tmp_path / "run").exists()
    code, out, err = finish(HERE / "tiny.py", *SMALL, "--train_epochs=1", *flags)
    assert code == 0, err
    result = result_of(tmp_path / "run")
    assert out.startswith("Data: ImageNet, as TensorFlow Datasets prepared it")
    assert out.splitlines()[1] == (
        "Partial data (--allow_partial): the train split has 1,000 of 1,281,167 images, the "
        "validation split has 7 of 50,000 images."
    )
    assert (
        result["status"] == "finished"
        and result["data"]["images"]["test"] == 7
        and result["data"]["classes"] == 1000
    )


def test_prepare_says_what_is_missing_and_its_size(tmp_path, capsys):
    with pytest.raises(
        UsageError, match=r"missing ILSVRC2012_img_train.tar \(147,897,477,120 bytes\)"
    ):
        prepare.run(None, str(tmp_path), "array_record")
    assert "missing: ILSVRC2012_img_train.tar, 147,897,477,120 bytes" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_fashion_mnist_trains_from_the_files_that_debian_installs(tmp_path):
    flags = ("--dataset=fashion_mnist", f"--data_dir={DEBIAN}", "--image_size=14", "--norm=wn")
    code, out, err = finish(HERE / "tiny.py", *flags, "--dry_run", f"--model_dir={tmp_path}/run")
    assert code == 0, err
    assert "Data: Fashion-MNIST: 55000 training, 5000 validation, 10000 test images." in out
