import os

# A program of its own, which runs in the peers' environments: `nox -s overhead`.
collect_ignore = ["overhead"]
# Slow for what one works on daily: `nox -s peers`.
if "KERAS_WN_PEERS" not in os.environ:
    collect_ignore.append("test_keras_suites.py")
