"""A verified artifact behind HTTP: the Open Inference Protocol, plain rows for curl, and a page.

- server: the port, the worker processes and their restarts; worker: granian around the application
- application: from a request to its response
- headers, guard, body: what a request may be, and who may send it
- protocol, requests, tensors: the Open Inference Protocol; plain: rows as plain JSON
- execution: where requests are parsed and predicted, and for how long
- models: which artifacts answer, and how an alias that moved is followed
- pages: the page on which a person tries a model, in page/
- metrics, access_log: what is counted and logged
"""
