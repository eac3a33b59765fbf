"""A plain uploader: bodies that are ready, on so many connections, no more."""

from __future__ import annotations

import http.client
import queue
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ground.s3 import Gateway
from ground.s3client import sign_v4

UNSIGNED = "UNSIGNED-PAYLOAD"


class _Thread(threading.Thread):
    def __init__(
        self,
        work: queue.SimpleQueue[tuple[str, Path]],
        port: int,
        tls: ssl.SSLContext,
        gateway: Gateway,
    ) -> None:
        super().__init__()
        self._work, self._gateway = work, gateway
        self._connection = http.client.HTTPSConnection("localhost", port, context=tls)
        self._host = f"localhost:{port}"
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while True:
                self._put(*self._work.get_nowait())
        except queue.Empty:
            pass
        except Exception as error:  # told by upload()
            self.failure = error
        self._connection.close()

    def _put(self, path: str, file: Path) -> None:
        headers = {
            "host": self._host,
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            "x-amz-content-sha256": UNSIGNED,
            "if-none-match": "*",
        }
        headers["authorization"] = sign_v4(
            "PUT",
            path,
            (),
            headers,
            UNSIGNED,
            self._gateway.credentials,
            self._gateway.region,
        )
        self._connection.request("PUT", path, body=file.read_bytes(), headers=headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status} {said!r}")


def upload(
    bodies: Sequence[Path],
    bucket: str,
    port: int,
    tls: ssl.SSLContext,
    gateway: Gateway,
    connections: int,
) -> float:
    """How many seconds it takes."""
    work: queue.SimpleQueue[tuple[str, Path]] = queue.SimpleQueue()
    for body in bodies:
        work.put((f"/{bucket}/{body.name}", body))
    threads = [_Thread(work, port, tls, gateway) for _ in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    for thread in threads:
        if thread.failure is not None:
            raise thread.failure
    return seconds
