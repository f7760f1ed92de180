"""The flags of a training run, for every runner."""

import dataclasses
import signal

from absl import flags

from keras_wn import methods, models
from keras_wn.training import schedules
from keras_wn.training.config import AUGMENTS, DATASETS, PRECISIONS, STRATEGIES, XLA, TrainConfig

_FLAGS = {
    flags.DEFINE_string: {
        "norm": f"Method: {', '.join(methods.names())}.",
        "model": f"Network: {', '.join(models.names())}.",
        "dataset": f"Data set: {', '.join(DATASETS)}.",
        "data_dir": "Folder that holds the data set.",
        "augment": f"What training images go through: {', '.join(AUGMENTS)}.",
        "profile_steps": "First and last step of a TensorBoard profile, as 10,20.",
        "model_dir": "Folder for the run's files; a new one under runs/ if not given.",
        "join": f"Join of residual branch and shortcut: {', '.join(methods.JOINS)}; the method card's if not given.",
        "schedule": f"Decay of the learning rate after the warm-up: {', '.join(schedules.names())}.",
        "precision": f"Keras dtype policy: {', '.join(PRECISIONS)}.",
        "strategy": f"Devices: {', '.join(STRATEGIES)}; mirrored is all GPUs or the virtual devices, auto takes it for several; "
        "multi_worker reads TF_CONFIG; data_parallel is KERAS_BACKEND=jax's; tpu is TensorFlow's, and unverified.",
        "xla": f"Whether XLA compiles the step: {', '.join(XLA)}; auto is on for GPUs, off on a CPU, where it is slower.",
    },
    flags.DEFINE_integer: {
        "batch_size": "Global batch size.",
        "train_epochs": "Passes over the training images.",
        "init_batches": "Batches that a data-dependent start sees, put together into one.",
        "virtual_devices": "CPU devices to make out of one, to try distribution without accelerators; 0 for none.",
        "image_size": "Height and width of the images; the data set's if not given.",
        "max_corrupt": "Images that cannot be decoded and are skipped, by name, before the run ends with an error.",
        "accumulation": "Batches whose gradients an update of the weights averages.",
        "steps_per_loop": "Steps that run without a return to Python.",
        "checkpoint_steps": "Steps between two checkpoints within an epoch; there is one after each epoch.",
        "worker_timeout": "Seconds to wait for the other processes of --strategy=multi_worker.",
        "seed": "Seed of the initial weights, the data order and dropout.",
    },
    flags.DEFINE_float: {
        "base_learning_rate": "Highest learning rate for a batch of 256, scaled in proportion to the batch; the card's if not given.",
        "warmup_epochs": "Epochs of linear warm-up; the card's if not given.",
        "momentum": "Momentum of SGD.",
        "weight_decay": "L2 coefficient of the variables that the card decays; the card's if not given.",
        "label_smoothing": "Share of a label spread over all classes.",
        "dropout": "Dropout rate before the classifier.",
        "clip_norm": "Bound of the global norm of the whole batch's gradient; 0 for none.",
        "agc": "Adaptive gradient clipping: bound of a unit's gradient as a share of its weight's norm; 0 for none.",
        "ema": "Momentum of an average of the weights that is evaluated and saved in their place; 0 for none.",
    },
    flags.DEFINE_bool: {
        "use_synthetic_data": "Random images from memory in place of the data set's, to measure speed.",
        "deterministic": "Operations that give the same bits in every run, on GPUs too.",
        "dry_run": "Two steps only, then all result files.",
    },
}


def define(**defaults):
    """Defines the flags.

    Args:
        **defaults: Values of a runner's own in the place of `TrainConfig`'s.
    """
    for define_flag, texts in _FLAGS.items():
        for name, text in texts.items():
            define_flag(name, defaults.get(name, getattr(TrainConfig, name)), text)
    flags.DEFINE_bool("resume", False, "Continue the run in --model_dir from its newest checkpoint.")
    flags.DEFINE_bool("overwrite", False, "Replace the run in --model_dir.")
    flags.DEFINE_bool("signal_report", False, "Write the report on signal propagation at the start, and stop.")
    flags.DEFINE_bool("prepare", False, "Check ImageNet in --data_dir, prepare it if its tars are there, and stop.")
    flags.DEFINE_string("prepared_format", "array_record", "What --prepare writes: array_record, or tfrecord.")


def run():
    """Does what the flags say.

    Returns:
        The exit status.
    """
    values = flags.FLAGS
    config = TrainConfig(**{f.name: values[f.name].value for f in dataclasses.fields(TrainConfig)})
    if values.prepare:
        from keras_wn.data import prepare

        return prepare.run(config.dataset, config.data_dir, values.prepared_format)
    config.resolved()  # Before TensorFlow, which is slow to import.
    from keras_wn.training import loop

    result = loop.train(config, values.resume, values.overwrite, values.signal_report)
    # A run that diverges is a result, not a failure; one that was stopped says by which signal, as shells do.
    stopped_by = result and result["stopped_by"]
    return 128 + signal.Signals[stopped_by] if stopped_by else 0
