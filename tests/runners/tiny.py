"""The runner with a network so small that runs take seconds: `python tests/runners/tiny.py`."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from keras_wn import models
from keras_wn.training import command_line
from tests.training.conftest import tiny

models._BUILDERS["tiny"] = tiny
command_line.define_training_flags(model="tiny", train_epochs=3)

if __name__ == "__main__":
    sys.exit(command_line.run(command_line.train))
