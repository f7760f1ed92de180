"""Trains a ResNet on ImageNet, or on the embedded digits, with one of the study's methods.

For example: `python runners/imagenet.py --norm=wn_trelu`.
"""

import sys

import environment

environment.prepare("tensorflow", "jax")

from absl import flags

from keras_wn.training import command_line, flag_fields

command_line.define_training_flags()
# Shows the flags in --help.
flags.adopt_module_key_flags(command_line)
flags.adopt_module_key_flags(flag_fields)

if __name__ == "__main__":
    sys.exit(command_line.run(command_line.train))
