"""keras_wn: weight normalization for Keras 3, and its study against batch normalization."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "keras_wn/__init__.py").read_text(encoding="utf-8")
)[1]

# The runners and the study need these on any backend.
STUDY = [
    "keras>=3.15",
    "absl-py",
    "scikit-learn",
    "scipy",
    "matplotlib",
    "pandas",
    "jinja2",
    "tensorboard",
]
TRAIN = [
    "tensorflow>=2.20",
    "tensorflow-datasets>=4.9.10",
    "importlib_resources",  # TFDS needs it to prepare a data set, and does not declare it.
    *STUDY,
]

setup(
    name="keras_wn",
    version=VERSION,
    description=__doc__.strip(),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords="keras weight-normalization batch-normalization tensorflow jax pytorch",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    project_urls={
        "The paper of weight normalization": "https://arxiv.org/abs/1602.07868",
        "The paper that is studied": "https://arxiv.org/abs/1709.08145",
    },
    packages=find_packages(include=["keras_wn", "keras_wn.*"]),
    package_data={"keras_wn": ["py.typed"], "keras_wn.study": ["*.j2"]},
    python_requires=">=3.11",
    # The oldest and the newest are tested: `nox -s oldest`, and every other session.
    install_requires=["keras>=3.12", "numpy"],
    extras_require={
        "train": TRAIN,
        "train-jax": ["jax", *STUDY],
        "jax": ["jax"],
        "torch": ["torch"],
        "tpu": ["jax[tpu]"],
        # The report of the study is made with the site.
        "docs": ["mkdocs-material", "mkdocstrings[python]", "jax", *STUDY],
        "test": [*TRAIN, "pytest", "pytest-xdist", "ruff", "nox[uv]"],
    },
)
