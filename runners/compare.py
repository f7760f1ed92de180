"""Compares the study's methods and writes a report: `python runners/compare.py --out=DIR`."""

import sys

import environment

environment.prepare("tensorflow", "jax")

from absl import flags

from keras_wn.study import command
from keras_wn.training import command_line, flag_fields

command.define()
for module in (command, flag_fields):
    flags.adopt_module_key_flags(module)  # Shows its flags in --help.

if __name__ == "__main__":
    sys.exit(command_line.run(command.run))
