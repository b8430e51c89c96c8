"""A Stripe account in memory, served over real HTTP on loopback; it imports nothing else of this package."""
