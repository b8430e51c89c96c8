"""What Stripe has: object types, their paths, parents, columns and events, and how each is kept fresh.

The only room with facts about single types. `api.json` is extracted from Stripe's OpenAPI description by `extract`;
`types.toml` holds what the description does not say, `left_out.toml` what the mirror leaves out of it; `types` reads all
of them, `document` writes them down for people. How to fetch belongs in `sync`, how to store in `warehouse`.
"""
