"""Where things are on this machine: the project's own files, the ports of loopback, the folder of a mirror."""

import errno
import socket
from pathlib import Path

import stripe_assets
from stripe_assets.commands.endings import CommandError

ROOT = Path(stripe_assets.__file__).resolve().parent.parent
"""The checkout: the package is installed in place, because dbt and Dagster read files beside it."""


def project_file(name: str) -> Path:
    """Find a file or folder of the checkout. Raises `CommandError` where there is none."""
    path = ROOT / name
    if not path.exists():
        raise CommandError(
            f"{path} is missing: this command needs a checkout of the project, installed with `pip install --editable .` inside of it"
        )
    return path


def check_port(host: str, port: int, *, option: str = "--port") -> None:
    """Raise `CommandError` if nobody could listen there; port 0 stands for any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise CommandError(f"port {port} on {host} {why}: choose another with {option}") from error
