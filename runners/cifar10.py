"""Trains a net on CIFAR-10 or CIFAR-100 with one of the study's methods: `python runners/cifar10.py --norm=wn_trelu --data_dir=DIR`."""

import os
import sys

# TensorFlow's messages on devices and processors would hide the run's own. Set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's own default on newer processors alone; on others, convolutions' gradients take up to 50 times as long without.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import flags

from keras_wn.training import command_line, run_flags

run_flags.define(dataset="cifar10", model="cifar_resnet20", batch_size=128, train_epochs=100)
flags.adopt_module_key_flags(run_flags)  # For --help.

if __name__ == "__main__":
    sys.exit(command_line.run(run_flags.run))
