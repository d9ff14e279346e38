# SPDX-License-Identifier: BSD-3-Clause
"""A daemon that answers what it likes: a thread of the test."""

import contextlib
import json
import socket
import threading
import time


class Daemon:
    """Gives one client the answers, each to a line of it but those that come before: HANG_UP ends
    the connection, WAIT waits until the client does. Keeps .requests."""

    HANG_UP, WAIT, FLOOD = object(), object(), object()

    def __init__(self, folder, answers, before=(), late_s=0):
        self.path = f'{folder}/s'
        self.answers, self.before, self.late_s = answers, before, late_s
        self.requests, self.shortest_s = [], 1e9
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def serve(self):
        with contextlib.suppress(OSError), self.listener.accept()[0] as client, \
                client.makefile('rb') as lines:
            for answer in self.before:
                client.sendall(answer)
            sent = None
            for answer in self.answers:
                self.requests.append(lines.readline())
                if sent:
                    self.shortest_s = min(self.shortest_s, time.monotonic() - sent)
                time.sleep(self.late_s)
                sent = time.monotonic()
                if answer is self.HANG_UP:
                    return
                while answer is self.FLOOD:
                    client.sendall(b' ' * 65536)
                if answer is not self.WAIT:
                    client.sendall(answer)
            lines.read()


def result(value, number=1):
    return f'{{"jsonrpc":"2.0","result":{json.dumps(value)},"id":{number}}}\n'.encode()


def error(message, number='1'):
    return f'{{"jsonrpc":"2.0","error":{{"code":-1,"message":{message}}},"id":{number}}}\n'.encode()
