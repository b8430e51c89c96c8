"""Tables, types and migrations; the batching writer; checkpoints, dead letters and run history, in DuckDB.

What to fetch belongs in `sync`; this room is given pages and says what it has stored.
"""
