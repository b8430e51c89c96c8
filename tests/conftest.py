"""What all tests share: a simulated account, a mirror of it, and a look at whether they are equal."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
