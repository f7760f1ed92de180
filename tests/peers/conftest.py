import os

# A program of its own, which runs in TensorFlow Addons' environment: `nox -s overhead`.
collect_ignore = ["tfa_overhead.py"]
# Slow for what one works on daily: `nox -s peers`.
if "KERAS_WN_PEERS" not in os.environ:
    collect_ignore.append("test_keras_suites.py")
