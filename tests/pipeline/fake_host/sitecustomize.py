"""Put another machine in place of this one, or pause a stage, in a test project's processes.

Python imports this module at its start because the test puts its folder on PYTHONPATH. The product
knows nothing of it. TRTPROOF_TEST_HOST is a JSON object:

    cpu       model name that /proc/cpuinfo shows
    bench     facts added to hardware.json's `bench`
    versions  distribution -> installed version
    pause     {stage, marker, seconds}: the stage writes its process number to the file `marker` and
              sleeps when its output is complete but not in place yet
"""

import json
import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path


def fake(host):
    from trtproof import distributions, probing_cpu

    real_version, real_cpuinfo = distributions.installed_version, probing_cpu.read_cpuinfo
    real_host_facts = probing_cpu.host_facts
    versions = host.get("versions", {})
    distributions.installed_version = lambda name: versions.get(name) or real_version(name)
    probing_cpu.host_facts = lambda: real_host_facts() | host.get("bench", {})
    if "cpu" in host:
        probing_cpu.read_cpuinfo = lambda *path: re.sub(
            r"(?m)^model name\s*:.*$", f"model name\t: {host['cpu']}", real_cpuinfo(*path)
        )


def pause(settings):
    from trtproof import artifacts

    def sleep():
        Path(settings["marker"]).write_text(str(os.getpid()))
        time.sleep(settings.get("seconds", 120))

    real_replace, real_write = artifacts.replace_folder, artifacts.write_json

    @contextmanager
    def replace_folder(folder):
        with real_replace(folder) as temporary:
            yield temporary
            sleep()

    def write_json(path, data):
        real_write(path, data)
        if path == artifacts.HARDWARE:  # the probe: one of its two files is written
            sleep()

    artifacts.replace_folder, artifacts.write_json = replace_folder, write_json


host = json.loads(os.environ.get("TRTPROOF_TEST_HOST") or "{}")
if host:
    fake(host)
    script = Path(next((word for word in sys.orig_argv if word.endswith(".py")), ""))
    if "pause" in host and script.stem == host["pause"]["stage"]:
        pause(host["pause"])
