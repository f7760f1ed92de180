"""Fixtures of the study's tests."""

import pytest

from keras_wn.study.plan import Request
from tests.study.made_up import TINY


@pytest.fixture
def request_of():
    def make(methods=("bn", "wn"), seeds=2, protocol=TINY):
        return Request(protocol, methods, seeds)

    return make
