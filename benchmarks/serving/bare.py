"""The baseline: the same server, runtime and response, without any check.

`python -m benchmarks.serving.bare PORT` serves the ONNX graph in the file $MODEL as the version
$DIGEST.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import msgspec
import numpy as np
import onnxruntime
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_options.inter_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["MODEL"], _options)
_digest = os.environ["DIGEST"]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Handle any request as an inference of one input."""
    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message["more_body"]:
            break
    [tensor] = _decode(b"".join(parts))["inputs"]
    X = np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"])
    label, probabilities = _session.run(None, {"X": X})
    outputs = [
        {"name": name, "datatype": datatype, "shape": array.shape, "data": array.ravel().tolist()}
        for name, datatype, array in (
            ("label", "INT64", label),
            ("probabilities", "FP64", probabilities),
        )
    ]
    body = _encode({"model_name": "model", "model_version": _digest, "outputs": outputs})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    """Serve until SIGTERM."""
    server = Server(
        app,
        port=int(sys.argv[1]),
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    uvloop.run(main())
