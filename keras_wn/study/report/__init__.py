"""Reports a study: one page, and Markdown, from the records of trials.jsonl alone."""

from keras_wn.study.report.document import build_document, write

__all__ = ["build_document", "write"]
