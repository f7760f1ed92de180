"""Single layers that are timed, plain and weight-normalized, on each engine."""
