"""A front of the S3 gateway in which some objects lie in archived storage.

It rewrites what the gateway answers, as S3 would: a listing shows the class,
a get is refused, and a request to restore brings the object back only after it
was looked up a few times.
"""

from __future__ import annotations

import http.client
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

CLASS = "DEEP_ARCHIVE"
_REFUSED = (
    b"<Error><Code>InvalidObjectState</Code>"
    b"<Message>The operation is not valid for the object's class</Message></Error>"
)
_PENDING = b"<Error><Code>RestoreAlreadyInProgress</Code></Error>"


class ColdStore:
    """Objects whose path ends with one of cold are archived.

    asked tells the days that were asked for, by path.  An object can be read
    once it was looked up looks times after that.
    """

    def __init__(self, upstream_port: int, *, looks: int = 1) -> None:
        self.cold: list[str] = []
        self.asked: dict[str, int] = {}
        self.looks = looks
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()
        self._upstream = upstream_port
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _archived(self, path: str) -> bool:
        return any(path.endswith(name) for name in self.cold)

    def _frozen(self, path: str) -> bool:
        return self._archived(path) and self._left.get(path, 1) > 0

    def _restore(self, path: str, body: bytes) -> tuple[int, bytes]:
        days = re.search(rb"<Days>(\d+)</Days>", body)
        with self._lock:
            if days is None or not self._archived(path):
                return 403, _REFUSED
            if path in self.asked:
                return 409, _PENDING
            self.asked[path] = int(days[1])
            self._left[path] = self.looks
        return 202, b""

    def _look(self, path: str) -> list[tuple[str, str]]:
        """Headers that a HEAD has for an archived object."""
        with self._lock:
            headers = [("x-amz-storage-class", CLASS)]
            if path in self._left:
                ongoing = "true" if self._left[path] > 0 else "false"
                headers.append(("x-amz-restore", f'ongoing-request="{ongoing}"'))
                self._left[path] -= 1
        return headers

    def _list(self, body: bytes) -> bytes:
        def rewrite(entry: re.Match[bytes]) -> bytes:
            key = re.search(rb"<Key>(.*?)</Key>", entry[0])
            if key is None or not self._archived(unquote(key[1].decode())):
                return entry[0]
            name = f"<StorageClass>{CLASS}</StorageClass>".encode()
            return re.sub(rb"<StorageClass>.*?</StorageClass>", name, entry[0])

        return re.sub(rb"<Contents>.*?</Contents>", rewrite, body, flags=re.S)

    def _handler(store) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def _say(self, code: int, headers: list[tuple[str, str]], body: bytes):
                self.send_response_only(code)
                for name, value in headers:
                    self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                path, _, query = self.path.partition("?")
                if self.command == "POST" and query.startswith("restore"):
                    self._say(*self._with(store._restore(path, body)))
                elif self.command == "GET" and not query and store._frozen(path):
                    self._say(*self._with((403, _REFUSED)))
                else:
                    self._forward(path, query, body)

            @staticmethod
            def _with(answer: tuple[int, bytes]):
                headers = [("Content-Type", "application/xml")]
                return answer[0], headers, answer[1]

            def _forward(self, path: str, query: str, body: bytes) -> None:
                upstream = http.client.HTTPConnection("127.0.0.1", store._upstream)
                try:
                    upstream.putrequest(
                        self.command,
                        self.path,
                        skip_host=True,
                        skip_accept_encoding=True,
                    )
                    for name, value in self.headers.items():
                        upstream.putheader(name, value)
                    upstream.endheaders(body)
                    answer = upstream.getresponse()
                    content = answer.read()
                finally:
                    upstream.close()
                drop = {"connection", "transfer-encoding"}
                if self.command != "HEAD":
                    drop.add("content-length")
                headers = [h for h in answer.getheaders() if h[0].lower() not in drop]
                if self.command == "HEAD" and store._archived(path):
                    headers += store._look(path)
                if "list-type" in query:
                    content = store._list(content)
                self._say(answer.status, headers, content)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve

        return Handler
