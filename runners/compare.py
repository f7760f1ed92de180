"""Compares the study's methods and writes a report: `python runners/compare.py --out=DIR`."""

import os
import sys

# TensorFlow's messages on devices and processors would hide the run's own. Set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow turns oneDNN on by itself on newer processors alone. On others, the gradients of
# convolutions take up to 50 times as long without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import flags

from keras_wn.study import command
from keras_wn.training import command_line, flag_fields

command.define()
for module in (command, flag_fields):
    flags.adopt_module_key_flags(module)  # Shows its flags in --help.

if __name__ == "__main__":
    sys.exit(command_line.run(command.run))
