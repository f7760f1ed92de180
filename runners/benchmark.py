"""Measures speed and memory, each figure as a ratio in one run.

For example: `python runners/benchmark.py --what=step`.
"""

import sys

import environment

environment.prepare("tensorflow", "jax", "torch")

from absl import flags

from keras_wn.benchmarks import command
from keras_wn.training import command_line

command.define()
flags.adopt_module_key_flags(command)  # Shows them in --help.

if __name__ == "__main__":
    sys.exit(command_line.run(command.run))
