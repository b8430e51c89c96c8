"""One request and its retries, and what the answer to a list says. Which requests to make belongs in `sync`."""
