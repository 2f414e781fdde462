"""The wire of the module protocol, as small as it can be: packets with a JSON value and descriptors."""

import array
import json
import os
import signal
import socket
import sys
import traceback

VIA_FD = b"<args-via-fd>"


def send(sock, value, fds=()):
    text = json.dumps(value).encode()
    fds = list(fds)
    with open("/proc/sys/net/core/wmem_max", encoding="ascii") as file:
        limit = int(file.read())
    if len(text) > limit:
        payload = os.memfd_create("payload")
        os.write(payload, text)
        text, fds = VIA_FD, [payload] + fds
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(text))
    sock.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def receive(sock):
    text, fds, _, _ = socket.recv_fds(sock, 1 << 22, 253)
    if text == VIA_FD:
        with os.fdopen(fds[0], "rb") as file:
            file.seek(0)
            text = file.read()
    return json.loads(text) if text else None


def connect(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind("")
    sock.connect(path)
    return sock


def ask(path, value, fds=()):
    with connect(path) as sock:
        send(sock, value, fds)
        return receive(sock)


def arguments():
    with open("/run/osbuild/api/arguments", encoding="utf8") as file:
        return json.load(file)


def serve(methods, stop=lambda: None):
    """Answers calls until the socket is closed, then cleans up."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    sock = socket.socket(fileno=int(options["--service-fd"]))
    try:
        while (message := receive(sock)) is not None:
            data = message["data"]
            try:
                send(sock, {"type": "signal", "data": {"reply": "at work"}})
                reply = methods[data["name"]](data["args"])
                answer = {"type": "reply", "data": {"reply": reply}}
            except Exception as error:  # pylint: disable=broad-except
                answer = {"type": "exception", "data": {
                    "name": type(error).__name__, "value": str(error), "backtrace": traceback.format_exc()}}
            send(sock, answer)
    finally:
        stop()
