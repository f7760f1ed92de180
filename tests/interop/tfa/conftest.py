# Runs in TensorFlow Addons' own environment.
collect_ignore = ["make_files.py"]
