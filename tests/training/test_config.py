import pytest

from keras_wn import methods
from keras_wn.data import digits
from keras_wn.errors import UsageError
from keras_wn.training.config import TrainConfig


@pytest.mark.parametrize("norm", methods.names())
def test_what_is_not_given_comes_from_the_card(norm):
    config, card = TrainConfig(norm=norm).resolved(), methods.get(norm)
    assert (config.join, config.base_learning_rate) == (card.join, card.learning_rate)
    assert (config.warmup_epochs, config.weight_decay) == (card.warmup_epochs, card.weight_decay)


def test_options_reach_the_card_of_the_method():
    card = TrainConfig(norm="gn", branch_scale=1.0, groups=8, noise=32).resolved().method
    assert (card.branch_scale, card.groups, card.noise) == (1.0, 8, 32)
    assert TrainConfig(norm="nf").resolved().agc == methods.get("nf").agc > 0
    assert TrainConfig(norm="nf", agc=0.0).resolved().agc == 0
    assert TrainConfig(norm="wn").resolved().method == methods.get("wn")


def test_ingredients_that_are_given_are_those_of_the_card():
    given = {"center": "free", "activation": "leaky", "classifier": "cosine", "join": "spherical"}
    config = TrainConfig(norm="cwn", **given).resolved()
    assert {name: getattr(config.method, name) for name in given} == given
    assert config.method.weights == "wn" and config.weights is None


def test_what_is_given_stays():
    config = TrainConfig(
        norm="normprop", join="sum", weight_decay=0.0, base_learning_rate=1.0
    ).resolved()
    assert (config.join, config.weight_decay, config.base_learning_rate) == ("sum", 0.0, 1.0)


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"norm": "bnn"},
            "--norm=bnn: unknown. Allowed: none, bn, wn, normprop, wn_trelu, wn_robust, wn_mobn, "
            "bwn, cwn, ws, gn, nf, fixup, cwn_trelu, cwn_trelu_skip, rescale, nf_fold, sphere.",
        ),
        (
            {"model": "vgg"},
            "--model=vgg: unknown. Allowed: resnet18, resnet34, resnet50, resnet101, resnet152, "
            "cifar_resnet8,",
        ),
        (
            {"join": "add"},
            "--join=add: unknown. Allowed: sum, rsqrt2, weighted, rescaled, spherical.",
        ),
        (
            {"schedule": "linear"},
            "--schedule=linear: unknown. Allowed: polynomial, cosine, stepwise.",
        ),
        (
            {"precision": "half"},
            "--precision=half: unknown. Allowed: float32, mixed_bfloat16, mixed_float16.",
        ),
        ({"batch_size": 0}, "--batch_size=0: not allowed. Allowed: a number above 0."),
        ({"train_epochs": -1}, "--train_epochs=-1: not allowed. Allowed: a number above 0."),
        (
            {"base_learning_rate": 0.0},
            "--base_learning_rate=0.0: not allowed. Allowed: a number above 0.",
        ),
        (
            {"base_learning_rate": float("nan")},
            "--base_learning_rate=nan: not allowed. Allowed: a number above 0.",
        ),
        ({"weight_decay": -1e-4}, "--weight_decay=-0.0001: not allowed. Allowed: 0 or more."),
        ({"dropout": 1.0}, "--dropout=1.0: not allowed. Allowed: at least 0 and less than 1."),
        (
            {"label_smoothing": 1.5},
            "--label_smoothing=1.5: not allowed. Allowed: at least 0 and less than 1.",
        ),
        ({"momentum": 1.0}, "--momentum=1.0: not allowed. Allowed: at least 0 and less than 1."),
        ({"seed": -1}, "--seed=-1: not allowed. Allowed: 0 to 2^32 - 1."),
        ({"init_batches": 0}, "--init_batches=0: not allowed. Allowed: a number above 0."),
        (
            {"strategy": "horovod"},
            "--strategy=horovod: unknown. Allowed: auto, none, mirrored, multi_worker, tpu, "
            "data_parallel.",
        ),
        (
            {"dataset": "svhn"},
            "--dataset=svhn: unknown. Allowed: digits, imagenet, cifar10, cifar100, mnist, ",
        ),
        ({"augment": "auto"}, "--augment=auto: unknown. Allowed: standard, paper."),
        ({"image_size": 4}, "--image_size=4: not allowed. Allowed: 8 or more."),
        (
            {"dataset": "cifar10", "image_size": 64},
            "--image_size=64 with --dataset=cifar10: its images are of 32. Allowed: 32.",
        ),
        (
            {"dataset": "fashion_mnist", "image_size": 32},
            "--image_size=32 with --dataset=fashion_mnist: its images are of 28. Allowed: 28, 14.",
        ),
        ({"max_corrupt": -1}, "--max_corrupt=-1: not allowed. Allowed: 0 or more."),
        ({"max_pixels": 0}, "--max_pixels=0: not allowed. Allowed: a number above 0."),
        ({"agc": -0.1}, "--agc=-0.1: not allowed. Allowed: 0 or more."),
        ({"ema": 1.0}, "--ema=1.0: not allowed. Allowed: at least 0 and less than 1."),
        ({"accumulation": 0}, "--accumulation=0: not allowed. Allowed: a number above 0."),
        ({"checkpoint_steps": 0}, "--checkpoint_steps=0: not allowed. Allowed: a number above 0."),
        (
            {"profile_steps": "10"},
            "--profile_steps=10: not allowed. Allowed: two steps as 10,20, the first from 1.",
        ),
        (
            {"profile_steps": "20,10"},
            "--profile_steps=20,10: not allowed. Allowed: two steps as 10,20",
        ),
        (
            {"deterministic": True, "xla": "on"},
            "--deterministic with --xla=on: XLA does not promise the same bits.",
        ),
        (
            {"dataset": "digits", "data_dir": "/tmp"},
            "--data_dir=/tmp with --dataset=digits: they are embedded.",
        ),
        ({"xla": "yes"}, "--xla=yes: unknown. Allowed: auto, on, off."),
        (
            {"virtual_devices": 1},
            "--virtual_devices=1: not allowed. Allowed: 2 to 64, or 0 for none.",
        ),
        ({"decay_on": "g"}, "--decay_on=g: unknown. Allowed: v, v_and_g, w."),
        ({"noise": 1}, "--noise=1: not allowed. Allowed: 2 to 1048576, or 0 for none."),
        ({"noise": 10**30}, f"--noise={10**30}: not allowed. Allowed: 2 to 1048576"),
        (
            {"train_epochs": 10**400},
            f"--train_epochs=1{'0' * 99}...{'0' * 100}: not allowed. Allowed: a number above 0, at "
            "most 4294967295.",
        ),
        ({"momentum": float("inf")}, "--momentum=inf: not allowed. Allowed: at least 0"),
        ({"data_dir": ""}, "--data_dir=: empty. Allowed: a value, or leave the flag out."),
        ({"profile_steps": ""}, "--profile_steps=: empty. Allowed: a value"),
        ({"branch_scale": -1.0}, "--branch_scale=-1.0: not allowed. Allowed: 0 or more."),
        (
            {"norm": "none", "branch_scale": 0.1},
            "--branch_scale=0.1 with --norm=none: the method has no branch_scale. "
            "Allowed with: bn, wn, wn_mobn, cwn, ws, gn, nf, cwn_trelu_skip, nf_fold.",
        ),
        (
            {"norm": "wn", "weights": "projected"},
            "--weights=projected with --norm=wn: the start from data sets a gain per filter, which "
            "undoes that filters keep their norm. Allowed: plain, wn, fixed, strict.",
        ),
        (
            {"norm": "none", "center": "always"},
            "--center=always with --norm=none: the formula of plain weights has no mean to "
            "subtract. Allowed: no, free.",
        ),
        (
            {"norm": "gn", "agc": 0.1},
            "--agc=0.1 with --norm=gn: the gammas at the end of each branch start at 0, so that "
            "there is no norm to clip in proportion to. Allowed: 0.",
        ),
        (
            {"norm": "wn", "branch_scale": 0.0, "agc": 0.1},
            "--agc=0.1 with --norm=wn: the gains at the end of each branch start at 0, so that ",
        ),
        (
            {"norm": "sphere", "weights": "wn", "activation": "rellu"},
            "--activation=rellu: unknown. Allowed: relu, scaled, normalized, translated, leaky, ",
        ),
        ({"groups": 0}, "--groups=0: not allowed. Allowed: a number above 0."),
        (
            {"norm": "wn", "groups": 8},
            "--groups=8 with --norm=wn: the method has no groups. Allowed with: ws, gn.",
        ),
        (
            {"norm": "wn", "statistics_batch": 8},
            "--statistics_batch=8 with --norm=wn: the method has no statistics_batch. Allowed "
            "with: bn.",
        ),
        (
            {"norm": "bn", "statistics_batch": 1},
            "--statistics_batch=1: not allowed. Allowed: 2 or more, or 0 for those of a batch.",
        ),
        ({"mixup": -0.1}, "--mixup=-0.1: not allowed. Allowed: 0 or more."),
        (
            {"norm": "fixup", "agc": 0.1},
            "--agc=0.1 with --norm=fixup: the last convolution of each branch and the classifier "
            "start at 0, so that there is no norm to clip in proportion to. Allowed: 0.",
        ),
        ({"clip_norm": -1.0}, "--clip_norm=-1.0: not allowed. Allowed: 0 or more."),
        (
            {"data_dir": "/", "use_synthetic_data": True},
            "--data_dir=/ with --use_synthetic_data: random images come from no folder. Allowed: "
            "one of them.",
        ),
        (
            {"augment": "paper"},
            "--augment=paper with --dataset=digits: its images are neither cropped nor mirrored. "
            "Allowed with: imagenet, cifar10, cifar100.",
        ),
        ({"data_dir": "/no/such"}, "--data_dir=/no/such: no such folder."),
    ],
)
def test_bad_value_is_refused_in_one_line_that_quotes_it(values, message):
    with pytest.raises(UsageError) as error:
        TrainConfig(**{"train_epochs": 10, **values}).resolved()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_warm_up_of_the_card_takes_at_most_half_of_the_run():
    assert TrainConfig(norm="wn", train_epochs=2).resolved().warmup_epochs == 1
    assert (
        TrainConfig(norm="wn", train_epochs=100).resolved().warmup_epochs
        == methods.get("wn").warmup_epochs
    )


def test_warm_up_that_leaves_no_step_is_refused():
    splits = digits.load()
    for epochs in (10.0, 9.99):
        with pytest.raises(UsageError, match=f"--warmup_epochs={epochs}: the whole run"):
            TrainConfig(train_epochs=10, warmup_epochs=epochs).resolved().check_against(splits)
    TrainConfig(train_epochs=10, warmup_epochs=9.9).resolved().check_against(splits)


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"accumulation": 21},
            "--accumulation=21: more batches than the 20 of the run, .* 1 to 20",
        ),
        ({"accumulation": 10**9}, "--accumulation=1000000000: more batches than the 20"),
        ({"warmup_epochs": 1e308}, r"--warmup_epochs=1e\+308: the whole run"),
        ({"profile_steps": "19,21"}, "--profile_steps=19,21: after the end of the run. .* 1 to 20"),
        ({"profile_steps": "3,4", "dry_run": True}, "--profile_steps=3,4: .* two steps of 1 to 2"),
        ({"steps_per_loop": 3}, "--steps_per_loop=3: does not divide an epoch"),
    ],
)
def test_a_run_whose_flags_do_not_fit_its_length_is_refused(values, message):
    config = TrainConfig(**{"train_epochs": 1, "warmup_epochs": 0.0, **values}).resolved()
    with pytest.raises(UsageError, match=message):
        config.check_against(digits.load())


def test_a_dry_run_updates_the_weights_twice():
    config = TrainConfig(dry_run=True, accumulation=7).resolved()
    config.check_against(digits.load())
    assert config.epochs * config.steps_per_epoch(digits.load()) == 14


def test_batch_that_does_not_divide_is_refused():
    splits = digits.load()
    TrainConfig(batch_size=64).resolved().check_against(splits, device_count=2)
    with pytest.raises(
        UsageError,
        match="--batch_size=64: does not divide among 3 devices. Allowed: multiples of 3",
    ):
        TrainConfig(batch_size=64).resolved().check_against(splits, device_count=3)


@pytest.mark.parametrize(
    "asked, replicas, message",
    [
        (24, 1, "does not divide the 64 images that a device takes. Allowed: divisors of 64, or"),
        (64, 2, "more than the 32 images that a device takes are for one device and images in"),
        (1298, 1, "must be at most the number of training images. Allowed: 2 to 1297."),
    ],
)
def test_statistics_batch_must_fit_the_devices_and_the_data(asked, replicas, message):
    config = TrainConfig(norm="bn", statistics_batch=asked).resolved()
    with pytest.raises(UsageError, match=f"--statistics_batch={asked}: {message}"):
        config.check_against(digits.load(), replicas)


def test_init_batches_matter_only_to_a_card_that_initializes_on_data():
    splits = digits.load()
    TrainConfig(norm="bn", batch_size=1000).resolved().check_against(splits)
    with pytest.raises(UsageError, match="--init_batches=4: must be at most"):
        TrainConfig(norm="wn", batch_size=1000).resolved().check_against(splits)


def test_a_folder_is_imagenets_and_none_is_the_embedded_digits(tmp_path):
    config = TrainConfig(data_dir=str(tmp_path)).resolved()
    assert (config.dataset, config.image_size) == ("imagenet", 224)
    config = TrainConfig().resolved()
    assert (config.dataset, config.image_size) == ("digits", 32)


def test_steps_per_loop_divides_an_epoch():
    splits = digits.load()
    TrainConfig(steps_per_loop=5).resolved().check_against(splits)
    with pytest.raises(
        UsageError, match="--steps_per_loop=3: does not divide an epoch. Allowed: divisors of 20."
    ):
        TrainConfig(steps_per_loop=3).resolved().check_against(splits)
