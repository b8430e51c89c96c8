"""What Stripe has: object types, their paths, parents, columns and events, and how each is kept fresh.

The only room with facts about single types. `api.json` is extracted from Stripe's OpenAPI description by `extract`;
`types.toml` holds what the description does not say; `types` reads both. How to fetch belongs in `sync`, how to
store in `warehouse`.
"""
