"""A process that may open 256 files, and asks one address many times: the other half of `test_client_open_files`.

python asking_much.py ADDRESS LOOP REQUESTS     LOOP is `uvloop`, as on the command line, or `asyncio`, as in Dagster's step
"""

import asyncio
import json
import os
import resource
import sys

import uvloop

from stripe_assets.api.client import Request, StripeClient
from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority

OPEN_FILES = 256
"""What macOS and some containers allow a process."""
LIMITS = Limits(account=500.0, endpoint=500.0, in_flight=64)
CHARGES = Request("/v1/charges", "GET /v1/charges", Priority.PAGE, {"limit": 1})


async def main(address: str, requests: int) -> dict[str, float]:
    """Ask; give the answers, the most files that were open at once, and the seconds."""
    most_open = 0

    def look(_answer: object) -> None:
        nonlocal most_open
        most_open = max(most_open, len(os.listdir("/dev/fd")))  # noqa: PTH208 - /dev/fd itself is open while it is read, either way

    loop = asyncio.get_running_loop()
    limiter = Limiter(LIMITS)
    async with StripeClient(
        api_key="sk_test_simulator", base_url=address, api_version="2026-05-27.dahlia", limiter=limiter, seed=1
    ) as client:
        began = loop.time()
        answers = await asyncio.gather(*(client.get(CHARGES, look) for _ in range(requests)))
        seconds = loop.time() - began
        return {"answers": len(answers), "sent": client.requests.total(), "most_open": most_open, "seconds": seconds}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    factory = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}[sys.argv[2]]
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(main(sys.argv[1], int(sys.argv[3])))))
