import os
import signal

import pytest

from keras_wn.training.stop import Stopped, StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_is_remembered_and_the_second_ends_at_once(number, capsys):
    before = signal.getsignal(number)
    stop = StopRequest()
    with stop.listening():
        stop.check()
        os.kill(os.getpid(), number)
        assert f"{signal.Signals(number).name}: stopping after this step" in capsys.readouterr().out
        with pytest.raises(Stopped) as stopped:
            stop.check()
        assert stopped.value.name == signal.Signals(number).name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before
