"""Which requests to make: slices, children, catch-up; and the engine that runs them.

The code is written as if there were no rate limit: `limits` lets each request wait for its turn.
"""
