"""The report's sections: a file each, from results to what a document holds."""

from keras_wn.study.report.sections import (
    accuracy,
    cost,
    protocol,
    provenance,
    regularization,
    signal,
    stability,
    trials,
    verdicts,
)

ALL = tuple(
    module.section
    for module in (verdicts, accuracy, stability, regularization, signal, cost, protocol, provenance, trials)
)
