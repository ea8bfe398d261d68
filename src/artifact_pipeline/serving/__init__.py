"""A verified artifact behind HTTP: the Open Inference Protocol, and plain rows for curl.

server       binds, starts the workers, ends them
application  a request in, an answer out
protocol     requests and answers of the Open Inference Protocol; tensors: their binary form
plain        rows as plain JSON
body, guard  what a request may be, and who may send it
models       which artifacts answer, and how an alias that moved is followed
computing    where a prediction is computed, and for how long
"""
