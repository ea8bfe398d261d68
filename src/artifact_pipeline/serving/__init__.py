"""A verified artifact behind HTTP: the Open Inference Protocol, plain rows for curl, and a page.

- server: binds, starts the workers, ends them; http: its connections
- application: a request in, an answer out
- protocol: what the Open Inference Protocol asks and answers; requests its JSON, tensors its bytes
- plain: rows as plain JSON
- pages: the page on which a person tries a model, in page/
- body, guard: what a request may be, and who may send it
- models: which artifacts answer, and how an alias that moved is followed
- computing: where a prediction is computed, and for how long
"""
