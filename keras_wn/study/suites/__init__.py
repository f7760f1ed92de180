"""What is compared: a file each, whose `plan` tells the trials that can be told by now."""

from keras_wn.study.suites import accuracy, cost, regularization, signal, stability

SUITES = {
    "accuracy": accuracy.plan,
    "stability": stability.plan,
    "regularization": regularization.plan,
    "signal": signal.plan,
    "cost": cost.plan,
}

__all__ = ["SUITES"]
