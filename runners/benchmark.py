"""Measures speed and memory, each figure as a ratio in one run: `python runners/benchmark.py --what=step`."""

import os
import sys

# TensorFlow's messages on devices and processors would hide the table. Set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's own default on newer processors alone; on others, convolutions' gradients take up to 50 times as long without.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import flags

from keras_wn.benchmarks import command
from keras_wn.training import command_line

command.define()
flags.adopt_module_key_flags(command)  # For --help.

if __name__ == "__main__":
    sys.exit(command_line.run(command.run))
