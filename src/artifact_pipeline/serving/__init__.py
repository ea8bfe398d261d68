"""A verified artifact behind HTTP: the Open Inference Protocol, plain rows for curl, and a page.

- server: the port, the supervisor of the workers; worker: granian around the application
- application: from a request to its response
- http: headers, bodies, responses, errors, routes, access control, access log
- protocols: the Open Inference Protocol, rows as plain JSON, and the OpenAPI description
- executor: where requests are parsed and predicted, and for how long
- registry: the models, and the updates of those whose alias moves
- page: the page on which a person tries a model
- metrics: counters for Prometheus
"""
