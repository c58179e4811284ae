#!/usr/bin/env python3
"""A curious host: passes TCP connections on and records every byte of both directions. Usage: tap.py HOST:PORT FILE

Prints the address that it listens on. Ends with SIGTERM."""
import asyncio
import contextlib
import sys


async def copy(reader, writer, record):
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            record.write(piece)
            record.flush()
            writer.write(piece)
            await writer.drain()
    writer.close()


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    with open(sys.argv[2], "xb") as record:

        async def serve(reader, writer):
            try:
                inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
            except OSError:
                writer.close()
                return
            await asyncio.gather(copy(reader, inner_writer, record), copy(inner_reader, writer, record))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        print("127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
