"""A server on this machine that behaves, or misbehaves, as a test says."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers by path (without the query); what was asked for is in `asked`.

    Of a list of answers each is given once, the last again and again.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def count(self, path: str) -> int:
        return Counter(asked.partition("?")[0] for asked in self.asked)[path]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that give up, as tests have them do, are no news."""


@contextmanager
def serving() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            server.asked.append(self.path)
            path = self.path.partition("?")[0]
            answer = server.answers.get(path, status(404))
            if isinstance(answer, list):
                answer = answer[min(server.count(path), len(answer)) - 1]
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    http = _Quiet(("127.0.0.1", 0), Handler)
    server = Server(http.server_port)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def content(data: bytes, code: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, code, len(data), headers)
        if handler.command != "HEAD":
            handler.wfile.write(data)

    return answer


def of_json(value: object) -> Answer:
    return content(json.dumps(value).encode())


def status(code: int) -> Answer:
    return content(b"no such luck", code)


def redirect(target: str) -> Answer:
    return content(b"", 302, Location=target)


def stall(seconds: float) -> Answer:
    """Silent for so long, then nothing."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        _cut(handler)

    return answer


def cut(data: bytes) -> Answer:
    """Half of the bytes that are announced, then the connection is cut."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, 200, len(data), {})
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        _cut(handler)

    return answer


def _head(handler: BaseHTTPRequestHandler, code: int, length: int, headers: dict[str, str]) -> None:
    handler.send_response(code)
    for name, value in {"Content-Length": str(length), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()


def _cut(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
