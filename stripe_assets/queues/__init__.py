"""Bounded queues between parts that run at different speeds. They know nothing of what they carry."""
