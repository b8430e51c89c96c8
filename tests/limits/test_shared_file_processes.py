"""The file of slots under real processes: killed between any two instructions, stopped, four at once on one allowance."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from limits.sending import crowded

from stripe_assets.limits.seats import seating
from stripe_assets.limits.shared_file import FileGuard, SharedFile

LIMIT = 40.0
PATIENCE = 60.0

SENDER = """
import json, sys, threading, time
from pathlib import Path
from stripe_assets.limits.shared_file import SharedFile
file = SharedFile(Path(sys.argv[1]), "acct_1")
guard = file.guard("account", float(sys.argv[2]), lambda: None)
used, sleep = [], threading.Event().wait
print("ready", flush=True)
until = float(sys.stdin.readline())
while (now := time.monotonic()) < until:
    if (slot := guard.take(now)) is None:
        sleep(max(0.0, min(guard.ready_at(now), until) - now))
    else:
        now = time.monotonic()
        guard.used(slot, now)
        used.append(now)
print(json.dumps(used))
"""
HOLDER = """
import sys, time
from pathlib import Path
from stripe_assets.limits.shared_file import SharedFile
file = SharedFile(Path(sys.argv[1]), "acct_1")
while not file.lock(time.monotonic()):
    pass
print("held", flush=True)
sys.stdin.read()
"""
DYING = """
import json, os, signal, sys
from pathlib import Path
from stripe_assets.limits.shared_file import SharedFile, __file__ as traced
folders, limit, now = Path(sys.argv[1]), float(sys.argv[2]), 1000.0

def die_after(instructions):
    left = [instructions]
    def count(frame, event, _):
        if frame.f_code.co_filename != traced:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count
    sys.settrace(count)

def live(read, write):
    os.close(read)
    die_after(lived)
    guard = SharedFile(folders / str(lived), "acct_1").guard("account", limit, lambda: None)
    slot = guard.take(now)
    guard.used(slot, now + 0.05)
    os.write(write, f"{now + 0.05}\\n".encode())
    guard.give_back(guard.take(now + 0.4))
    os._exit(0)

deaths, lived, status = [], 0, 1
while status:
    lived += 3  # it takes more than three to write one number after another
    read, write = os.pipe()
    child = os.fork()
    if not child:
        live(read, write)
    os.close(write)
    status = os.waitpid(child, 0)[1]
    used = [float(line) for line in os.fdopen(read)]
    at = max([now, *used])
    file = SharedFile(folders / str(lived), "acct_1")
    guard = file.guard("account", limit, lambda: None)
    while at < now + 4:
        if (slot := guard.take(at)) is not None:
            guard.used(slot, at)
            used.append(at)
        at = max(at, guard.ready_at(at))
    file.close()
    deaths.append(used)
print(json.dumps(deaths))
"""


def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def heard(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


def free_slots(guard: FileGuard, now: float) -> int:
    """Count the slots that one second gives, long after all that was sent."""
    taken, at = 0, now
    while at < now + seating(LIMIT).rest - 0.001:
        taken += guard.take(at) is not None
        at = max(at, guard.ready_at(at))
    return taken


@pytest.mark.parametrize("killed", [False, True])
def test_four_processes_at_once_never_exceed_the_limit_and_lose_no_slot(killed: bool, tmp_path: Path) -> None:
    """P2: runs in other processes of the machine share the limit; one that is killed with the lock in its hands changes nothing."""
    senders = [start(SENDER, tmp_path, LIMIT) for _ in range(4)]
    holder = start(HOLDER, tmp_path) if killed else None
    for sender in senders:
        heard(sender, "ready")
    if holder is not None:
        heard(holder, "held")
        holder.kill()
        assert holder.wait(PATIENCE) == -signal.SIGKILL
        holder.communicate()
    until = time.monotonic() + 2.5
    answers = [sender.communicate(f"{until}\n", PATIENCE)[0] for sender in senders]
    used = [at for answer in answers for at in json.loads(answer)]
    assert crowded(used, LIMIT) == []
    assert len(used) > LIMIT  # at least into the second second: whoever lost seats would have stopped before
    file = SharedFile(tmp_path, "acct_1")
    assert free_slots(file.guard("account", LIMIT, lambda: None), until + 10) == LIMIT
    file.close()


def test_process_killed_between_any_two_instructions_leaves_a_file_that_works(tmp_path: Path) -> None:
    """The kernel frees the lock whatever was half written: every half must be one that keeps the limit, and gives slots."""
    limit = 3.0
    process = start(DYING, tmp_path, limit)
    answer, _ = process.communicate(timeout=PATIENCE)
    deaths = json.loads(answer)
    assert len(deaths) > 300
    assert [death for death, used in enumerate(deaths) if crowded(used, limit)] == []
    assert min(len(used) for used in deaths) >= 3 * limit


def test_stopped_process_holds_the_others_up_only_while_it_is_stopped(tmp_path: Path) -> None:
    """Somebody presses Ctrl-Z: the other syncs wait, answer to signals meanwhile, and go on by themselves."""
    holder = start(HOLDER, tmp_path)
    heard(holder, "held")
    holder.send_signal(signal.SIGSTOP)
    file = SharedFile(tmp_path, "acct_1")
    guard = file.guard("account", LIMIT, lambda: None)
    assert [guard.take(1000.0 + second) for second in range(10)] == [None] * 10
    holder.send_signal(signal.SIGCONT)
    holder.communicate(timeout=PATIENCE)
    assert guard.take(1011.0) is not None
    file.close()
