"""When a request may be sent: rates, concurrency, and who is next.

Priority buckets stand in front of pyrate-limiter's rate buckets. What a request is, and how it is sent, belongs in `api`.
"""
