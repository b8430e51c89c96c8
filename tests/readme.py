"""Reads the commands and examples that the README gives people to type, for the tests of the README and for CI.

python tests/readme.py test     prints the command that runs the tests
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def code_blocks(language: str) -> list[str]:
    """Give the README's blocks of code in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def first_commands() -> dict[str, str]:
    """Give the two commands that are each enough on a fresh clone: `demo` and `test`."""
    demo, test = (line for line in code_blocks("sh")[0].splitlines() if line and not line.startswith("#"))
    return {"demo": demo, "test": test}


if __name__ == "__main__":
    print(first_commands()[sys.argv[1]])
