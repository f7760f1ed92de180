"""Trains a ResNet with one of the study's methods: `python runners/imagenet.py --norm=wn_trelu`."""

import dataclasses
import os
import sys

# TensorFlow's messages on devices and processors would hide the run's own. Set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import flags

from keras_wn import methods, models
from keras_wn.training import command_line, schedules
from keras_wn.training.config import PRECISIONS, STRATEGIES, XLA, TrainConfig

_FLAGS = {
    flags.DEFINE_string: {
        "norm": f"Method: {', '.join(methods.names())}.",
        "model": f"Network: {', '.join(models.names())}.",
        "data_dir": "Folder that holds ImageNet; the embedded digits if not given.",
        "model_dir": "Folder for the run's files; a new one under runs/ if not given.",
        "join": f"Join of residual branch and shortcut: {', '.join(methods.JOINS)}; the method card's if not given.",
        "schedule": f"Decay of the learning rate after the warm-up: {', '.join(schedules.names())}.",
        "precision": f"Keras dtype policy: {', '.join(PRECISIONS)}.",
        "strategy": f"Devices: {', '.join(STRATEGIES)}; mirrored is all GPUs or the virtual devices, auto takes it for several.",
        "xla": f"Whether XLA compiles the step: {', '.join(XLA)}; auto is on for GPUs, off on a CPU, where it is slower.",
    },
    flags.DEFINE_integer: {
        "batch_size": "Global batch size.",
        "train_epochs": "Passes over the training images.",
        "init_batches": "Batches that a data-dependent start sees, put together into one.",
        "virtual_devices": "CPU devices to make out of one, to try distribution without accelerators; 0 for none.",
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
    },
    flags.DEFINE_bool: {"dry_run": "Two steps only, then all result files."},
}
for define, texts in _FLAGS.items():
    for name, text in texts.items():
        define(name, getattr(TrainConfig, name), text)
flags.DEFINE_bool("resume", False, "Continue the run in --model_dir from its newest checkpoint.")
flags.DEFINE_bool("overwrite", False, "Replace the run in --model_dir.")
flags.DEFINE_bool("signal_report", False, "Write the report on signal propagation at the start, and stop.")


def main():
    from keras_wn.training import run  # After the flags are checked: it is slow to import.

    given = {f.name: flags.FLAGS[f.name].value for f in dataclasses.fields(TrainConfig) if f.name in flags.FLAGS}
    result = run.train(TrainConfig(**given), flags.FLAGS.resume, flags.FLAGS.overwrite, flags.FLAGS.signal_report)
    # A run that diverges is a result, not a failure.
    return 130 if result and result["status"] == "interrupted" else 0


if __name__ == "__main__":
    sys.exit(command_line.run(main))
