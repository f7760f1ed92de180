"""Leaves out the files that import TensorFlow Addons."""

# Runs with TensorFlow alone, and in TensorFlow Addons' own environment.
collect_ignore = ["make_files.py", "programs.py", "tensorflow_tts.py"]
