"""Real servers where users use them; each is started by its test on a free loopback port and ended by it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))  # for what the benchmarks run as well
