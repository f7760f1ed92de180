"""Drives a headless Chromium by its DevTools protocol over pipes.

Reference: https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading

PATH = shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """One page of a browser, used as a context manager.

    Args:
        seconds: The time after which a browser that hangs is killed.

    Attributes:
        complaints: The errors, warnings and exceptions of the console.
        requests: The addresses that were requested.
    """

    def __init__(self, seconds=60):
        self._seconds = seconds
        self.complaints, self.requests = [], []
        self._number, self._read = 0, b""
        self._session = {}

    def __enter__(self):
        try:
            return self._started()
        except BaseException:
            self.__exit__()
            raise

    def _started(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4. The shell is bash, because not
        # every sh takes descriptors of two digits.
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
            "--disable-background-networking --remote-debugging-pipe"
        )
        pipes = f"3<&{commands} 4>&{answers}"
        line = f'exec "$0" {flags} --user-data-dir="$1" {pipes}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, PATH, self._profile.name],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        # A browser that hangs is killed, which ends the test's waiting.
        self._watchdog = threading.Timer(self._seconds, self._process.kill)
        self._watchdog.start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {
            "sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)[
                "sessionId"
            ]
        }
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *error):
        self._watchdog.cancel()
        self._process.terminate()
        self._process.wait()
        os.close(self._answers)
        os.close(self._commands)
        self._profile.cleanup()

    def open(self, url, width, height):
        """Opens a page at a size in CSS pixels, and waits until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Page.navigate", url=url)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression):
        """Returns the value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)[
            "result"
        ].get("value")

    def screenshot(self, path):
        """Writes the whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method, **parameters):
        """Sends a command of the protocol, and returns its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self):
        while b"\0" not in self._read:
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise RuntimeError("The browser has ended.")
            self._read += data
        line, _, self._read = self._read.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params"))
        return message

    def _note(self, method, parameters):
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning")
        ):
            self.complaints.append(parameters)
        if method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters)
