"""A mirror of a Stripe account in DuckDB, as Dagster assets and as a command line."""
