"""Redis and PostgreSQL servers for benchmarks and tests: on loopback, in a temporary folder, ended with the block that started them."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PATIENCE = 60.0
"""Seconds in which a server must be there."""
FLAGS = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}


class NotInstalled(Exception):
    """This machine does not have the server's program."""


@contextmanager
def redis_server(*, password: str = "") -> Iterator[str]:
    """Run a Redis server that keeps nothing, and give its address."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotInstalled("redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"]
        command += ["--requirepass", password] if password else []
        process = subprocess.Popen(command, **FLAGS)
        try:
            _until_it_listens(port, process)
            yield f"redis://:{password}@127.0.0.1:{port}/0" if password else f"redis://127.0.0.1:{port}/0"
        finally:
            _end(process)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a PostgreSQL server with an empty database, and give its address; as the user `postgres` or `nobody` when we are root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    found = str(programs[-1]) if programs else shutil.which("postgres")
    if found is None:
        raise NotInstalled("postgresql")
    port = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        user = _unprivileged(folder)
        initialise = [*user, str(Path(found).with_name("initdb")), "-D", str(folder / "db"), "-U", "stripe", "-A", "trust", "-N"]
        subprocess.run(initialise, check=True, cwd=folder, **FLAGS)
        settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        command = [*user, found, "-D", str(folder / "db"), *(part for setting in settings for part in ("-c", setting))]
        process = subprocess.Popen(command, cwd=folder, **FLAGS)
        stack.callback(_end, process)
        _until_it_listens(port, process)
        _until(lambda: _accepts(found, port), process)
        yield f"postgresql://stripe@127.0.0.1:{port}/postgres"


def free_port() -> int:
    """Give a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _unprivileged(folder: Path) -> list[str]:
    """Give what to put before a command, since PostgreSQL refuses to run as root; the folder becomes that user's."""
    if os.geteuid() != 0:
        return []
    import pwd  # only where there is a root

    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _accepts(postgres: str, port: int) -> bool:
    command = [str(Path(postgres).with_name("pg_isready")), "-h", "127.0.0.1", "-p", str(port), "-q"]
    return subprocess.run(command, check=False).returncode == 0


def _until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    _until(listens, process)


def _until(is_there: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not is_there():
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise SystemExit(f"{process.args!r} did not come up")
        time.sleep(0.05)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
