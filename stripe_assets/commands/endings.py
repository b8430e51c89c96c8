"""How a command ends: the exit status of each kind of error, and the one sentence that tells it.

What went wrong is worded where it is found; here stands only what it means for whoever typed the command.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from stripe_assets.errors import ConfigurationError, MirrorError, RequestError, Throttled, Transient, Unauthorized

COULD_NOT_RUN, WRONG_USAGE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130


class CommandError(MirrorError):
    """The command line itself lacks something that it needs: a port, a folder, another program's success."""


def tell(sentence: str) -> None:
    """Write a line for people: on standard error, so that standard output holds results only."""
    typer.echo(sentence, err=True)


@contextmanager
def told(*, debug: bool = False, interrupted: str = "stopped") -> Iterator[None]:
    """Turn every error of the block into one sentence on standard error and an exit status.

    `interrupted` is the sentence for Ctrl-C; with `debug` the traceback is shown as well.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        tell(f"\n{interrupted}")
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        # The reader of our output has left (`| head`): what it wanted it has got. Nothing more can be flushed there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(COULD_NOT_RUN) from error
    except (MirrorError, OSError) as error:
        _show_traceback(debug)
        tell(f"stripe-assets: {sentence(error)}")
        raise typer.Exit(status(error)) from error
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        _show_traceback(debug)
        tell(
            f"stripe-assets: this should not have happened ({type(error).__name__}: {_one_line(str(error))}); "
            "run it again as `stripe-assets --debug ...` and report what that prints"
        )
        raise typer.Exit(COULD_NOT_RUN) from error


def status(error: Exception) -> int:
    """Give the exit status of an error."""
    return WRONG_USAGE if isinstance(error, ConfigurationError | Unauthorized) else COULD_NOT_RUN


def sentence(error: Exception) -> str:
    """Tell an error in one line, with what to do where the error does not say so itself."""
    text = _one_line(str(error)) or type(error).__name__
    if isinstance(error, Unauthorized):
        said = text.rstrip(".")
        return f"Stripe does not know this key: {said}; set STRIPE_API_KEY to one that the dashboard shows under Developers, API keys"
    if isinstance(error, Throttled):
        return f"{text}: other programs use up the limit; lower STRIPE_RATE_SHARE or run again later"
    if isinstance(error, Transient):
        return f"{text}: check the network, STRIPE_API_BASE and HTTPS_PROXY, then run again; nothing is lost"
    if isinstance(error, RequestError) and error.request_id is None:
        return f"{text}: that was not Stripe; check STRIPE_API_BASE and any proxy in between"
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _show_traceback(debug: bool) -> None:
    if debug:
        logging.getLogger(__name__).error("the traceback:", exc_info=True)
