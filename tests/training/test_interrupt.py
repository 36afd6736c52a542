"""The first signal asks, the second stops at once; whose handlers were there get them back."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from gato_gym.training.interrupt import MESSAGE, Interrupts

BOTH = (signal.SIGINT, signal.SIGTERM)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_only_asks(number, code, capfd):
    with Interrupts() as interrupts:
        assert interrupts.requested is None and interrupts.exit_code == 0
        send(number)
        assert interrupts.requested == number and interrupts.exit_code == code
    assert interrupts.exit_code == code
    assert MESSAGE in capfd.readouterr().err


@pytest.mark.parametrize("first", BOTH)
def test_the_second_signal_stops_at_once(first):
    with pytest.raises(KeyboardInterrupt), Interrupts():
        send(first)
        send(signal.SIGINT)
    with pytest.raises(SystemExit) as leaving, Interrupts():
        send(first)
        send(signal.SIGTERM)
    assert leaving.value.code == 143


def test_handlers_are_put_back():
    def mine(number, frame):
        pass

    before = [signal.signal(number, mine) for number in BOTH]
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert [signal.getsignal(number) for number in BOTH] == [mine, mine]
        with pytest.raises(KeyboardInterrupt), Interrupts():
            send(signal.SIGTERM)
            try:
                send(signal.SIGINT)
            finally:  # already while the second one unwinds: a third is not swallowed
                assert [signal.getsignal(number) for number in BOTH] == [mine, mine]
    finally:
        for number, handler in zip(BOTH, before, strict=True):
            signal.signal(number, handler)


def test_silent_where_another_rank_tells(capfd):
    with Interrupts(tell=False) as interrupts:
        send(signal.SIGTERM)
        assert interrupts.requested == signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_in_another_thread_nothing_is_caught():
    before = [signal.getsignal(number) for number in BOTH]
    found = []

    def work():
        with Interrupts() as interrupts:
            found.append([signal.getsignal(number) for number in BOTH])
            found.append(interrupts.exit_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before, 0]


PROGRAM = """
import sys, time
from gato_gym.training.interrupt import Interrupts
with Interrupts() as interrupts:
    print("ready", flush=True)
    while not interrupts.requested or len(sys.argv) > 1:
        time.sleep(0.01)
sys.exit(interrupts.exit_code)
"""


@pytest.mark.parametrize(
    ("signals", "code"),
    [([signal.SIGTERM], 143), ([signal.SIGINT], 130), ([signal.SIGTERM, signal.SIGTERM], 143)],
)
def test_exit_codes_of_a_process(signals, code):
    more = ["goes on"] if len(signals) > 1 else []
    command = [sys.executable, "-c", PROGRAM, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            process.send_signal(signals[0])
            while MESSAGE.encode() not in process.stderr.readline():
                pass
            for number in signals[1:]:
                process.send_signal(number)
            assert process.wait(20) == code
        finally:
            process.kill()
