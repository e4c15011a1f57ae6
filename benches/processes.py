"""What a whole process takes: for the benchmarks that start other programs."""

import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple


class Taken(NamedTuple):
    """Seconds; MB at most resident, and MB of that which are the process's own."""

    wall: float
    cpu: float
    memory: float
    own: float


def write_apart(*args):
    """Runs this script with `--write`, in a process of its own: what this one has in memory counts for all that it starts."""
    subprocess.run([sys.executable, sys.argv[0], "--write", *map(str, args)], check=True)


def anonymous(pid):
    """MB of memory that is the process's own: resident pages of files that it maps are the system's, which takes them back."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith("RssAnon:")), 0.0)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def measure(command, every=0.005, stderr=None):
    """What it printed, and what it took; its own memory is looked at each `every` seconds."""
    begun, own = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=stderr)
        while (done := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            own = max(own, anonymous(process.pid))
            time.sleep(every)
        wall, (_, status, usage) = time.perf_counter() - begun, done
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{command} ended with {process.returncode}"
        out.seek(0)
        text = out.read()
    return text, Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, own)
