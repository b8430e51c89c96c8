"""Measurements, as ratios against something in the same run. None of them is a test: machines differ, and are shared."""
