"""Trains a network on CIFAR-10 or CIFAR-100 with one of the study's methods.

For example: `python runners/cifar10.py --norm=wn_trelu --data_dir=DIR`.
"""

import sys

import environment

environment.prepare("tensorflow", "jax")

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
