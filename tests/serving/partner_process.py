"""A partner as a process of its own: answers over HTTP which way a customer goes at its splits. Run as a module by the tests.

Customers are numbers. Some ids make it misbehave: "slow" is answered after two seconds, "garbage" with what is no JSON, "twos" with
numbers that are no decisions, "short" with too few of them, "broken" by closing the connection.
"""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit


async def main(decisions: list[list[int]]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        customer = parse_qs(urlsplit(line).query)["customer"][0]
        status, body = 200, b""
        if customer == "slow":
            await asyncio.sleep(2)
            customer = "0"
        if customer == "garbage":
            body = b"<html>"
        elif customer in {"twos", "short"}:
            body = json.dumps([2] * len(decisions[0]) if customer == "twos" else decisions[0][:-1]).encode()
        elif customer.isdigit() and int(customer) < len(decisions):
            body = json.dumps(decisions[int(customer)]).encode()
        else:
            status = 404
        if customer != "broken":
            writer.write(
                b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
            )
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
