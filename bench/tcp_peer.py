"""
Plain TCP with the command line of the libp2p peers: what the link itself can do.

Without ``-dial`` it reads what comes and answers with the number of bytes; with it, it sends.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import time

READ_BYTES = 1 << 20
COUNT_BYTES = 8


def serve(listen: str) -> None:
    """Print the address, then serve one connection after the other until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _, family, host, _, port = listen.split("/")
    buffer = bytearray(READ_BYTES)
    with socket.create_server((host, int(port))) as server:
        print(f"/{family}/{host}/tcp/{server.getsockname()[1]}", flush=True)
        try:
            while True:
                connection, _ = server.accept()
                with connection:
                    count = 0
                    while size := connection.recv_into(buffer):
                        count += size
                    connection.sendall(count.to_bytes(COUNT_BYTES, "big"))
        finally:
            print(json.dumps({"cpu_seconds": time.process_time()}), file=sys.stderr, flush=True)


def upload(options: argparse.Namespace) -> None:
    """Send the bytes, wait until their number is confirmed, print the figures."""
    _, _, host, _, port = options.dial.split("/")
    piece = bytes(options.write_size)
    with socket.create_connection((host, int(port))) as connection:
        cpu, start = time.process_time(), time.perf_counter()
        for sent in range(0, options.bytes, len(piece)):
            connection.sendall(piece[: options.bytes - sent])
        connection.shutdown(socket.SHUT_WR)
        counted = int.from_bytes(connection.recv(COUNT_BYTES, socket.MSG_WAITALL), "big")
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if counted != options.bytes:
        sys.exit(f"sent {options.bytes} bytes, {counted} arrived")
    print(json.dumps({"bytes": counted, "seconds": seconds, "cpu_seconds": cpu}))


def main() -> None:
    """Serve or send, as the flags say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("-listen", default="/ip4/127.0.0.1/tcp/0")
    parser.add_argument("-dial", metavar="MULTIADDR")
    parser.add_argument("-security", help="ignored: there is none")
    parser.add_argument("-mode", choices=["sink"], default="sink")
    parser.add_argument("-bytes", type=int, default=1 << 20)
    parser.add_argument("-write-size", type=int, default=65536)
    options = parser.parse_args()
    if options.dial:
        upload(options)
    else:
        serve(options.listen)


if __name__ == "__main__":
    main()
