"""Runs one script of Eclipse's MQTT interoperability suite, unchanged, against doorhub's broker.

    DOORHUB_USER=… DOORHUB_TOKEN=… interop.py SCRIPT PORT RESULTS

The suite (https://github.com/eclipse/paho.mqtt.testing, folder interoperability; EPL 1.0) is not
part of doorhub. What differs from running SCRIPT itself, and nothing else does:

- Its clients connect to 127.0.0.1:PORT. The v3.1.1 script takes no port on its command line.
- Its clients log in with DOORHUB_USER and DOORHUB_TOKEN, because doorhub lets nobody in without.
- A test that does not end within a minute fails. Some wait for ever for a message.
- Each test's result is a line of JSON in the file RESULTS.
"""

import functools
import importlib
import json
import os
import runpy
import signal
import sys
import unittest

LONGEST = 60  # seconds for one test; the suite's longest sleeps 30


def logging_in(connect, port, user, token):
    @functools.wraps(connect)
    def connect_to_doorhub(self, *args, **kwargs):
        kwargs.update(host="127.0.0.1", port=port, username=user, password=token)
        return connect(self, *args, **kwargs)

    return connect_to_doorhub


def patch_clients(port, user, token):
    """Changes the client classes of the suite, which is on sys.path, and returns how many."""
    found = 0
    for version in ("V311", "V5"):
        try:
            module = importlib.import_module("mqtt.clients." + version)
        except ImportError:
            continue
        module.Client.connect = logging_in(module.Client.connect, port, user, token)
        found += 1
    return found


class TooLong(Exception):
    """Not TimeoutError, which the suite's client takes for a quiet socket."""


def too_long(signum, frame):
    raise TooLong("not done after %d s" % LONGEST)


class Result(unittest.TextTestResult):
    out = None

    def startTest(self, test):
        super().startTest(test)
        self.why = ""
        signal.setitimer(signal.ITIMER_REAL, LONGEST, 1)  # again, when the test catches it

    def stopTest(self, test):
        signal.setitimer(signal.ITIMER_REAL, 0)
        super().stopTest(test)
        name = test.id().rpartition(".")[2]
        print(json.dumps({"test": name, "why": self.why}), file=self.out, flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        self.why = "%s: %s" % (err[0].__name__, err[1])

    addFailure = addError

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.why = "skipped: " + reason


def main(script, port, results):
    folder = os.path.dirname(os.path.abspath(script))
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv = [script]
    if not patch_clients(int(port), os.environ["DOORHUB_USER"], os.environ["DOORHUB_TOKEN"].encode()):
        sys.exit("no mqtt.clients.V311 or mqtt.clients.V5 in " + folder)
    signal.signal(signal.SIGALRM, too_long)
    with open(results, "w") as Result.out:
        runner = unittest.TextTestRunner(resultclass=Result, verbosity=2)
        unittest.main = functools.partial(unittest.main, testRunner=runner)
        runpy.run_path(script, run_name="__main__")


main(*sys.argv[1:])
