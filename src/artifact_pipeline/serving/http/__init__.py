"""HTTP: bodies, responses, errors, routes, access."""
