"""The service as a process: one uvicorn server on uvloop and httptools. A shutdown drains the queues."""

import uvicorn
from fastapi import FastAPI

from core.process import require_free_port

DRAIN_S = 10


def serve(app: FastAPI, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until the process is told to stop.

    Raises:
        BadInput: something else listens on that port.
    """
    require_free_port(host, port)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    uvicorn.Server(config).run()
