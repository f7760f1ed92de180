"""Trains a network on CIFAR-10 or CIFAR-100 with one of the study's methods.

For example: `python runners/cifar10.py --norm=wn_trelu --data_dir=DIR`.
"""

import os
import sys

# TensorFlow's messages on devices and processors would hide the run's own. Set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow turns oneDNN on by itself on newer processors alone. On others, the gradients of
# convolutions take up to 50 times as long without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import flags

from keras_wn.training import command_line, flag_fields

command_line.define_training_flags(
    dataset="cifar10", model="cifar_resnet20", batch_size=128, train_epochs=100
)
# Shows the flags in --help.
flags.adopt_module_key_flags(command_line)
flags.adopt_module_key_flags(flag_fields)

if __name__ == "__main__":
    sys.exit(command_line.run(command_line.train))
