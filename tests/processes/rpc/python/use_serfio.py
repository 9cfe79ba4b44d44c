"""serfio: what it does against a real agent. Arguments: port, port of an agent with a token, the token."""

import asyncio
import sys

import serfio
from serfio.errors import SerfError

port, guarded, token = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def connect():
    return serfio.Serf(host="127.0.0.1", port=port)


async def refused(call, text):
    try:
        await call
    except SerfError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"not refused: {text}")


async def commands():
    async with connect() as serf:
        members = await serf.members()
        assert [m["Name"] for m in members] == ["lb1", "web1"], members
        assert members[1]["Addr"] == b"\x7f\x00\x00\x16", members
        assert [m["Name"] for m in await serf.members_filtered(name="web.*", tags={"role": "web"})] == ["web1"]
        await serf.event("deploy", b"v1")
        await refused(serf.event("deploy", b"x" * 600), "exceeds configured limit")
        # It sends the map of new tags as the list of old ones.
        await serf.tags(tags={"a": "b"}, delete_tags=["zz"])
        assert (await serf.stats())["agent"] == {"name": "lb1"}


async def queries():
    async with connect() as serf:
        answers = [answer async for answer in serf.query("uptime")]
        assert [(a["From"], a["Payload"]) for a in answers] == [("web1", b"up\n")], answers
        assert (await serf.query_one("uptime"))["Payload"] == b"up\n"


async def stream():
    async with connect() as serf, connect() as other:
        records = serf.stream("user,query")
        first = asyncio.ensure_future(anext(records))
        # Nobody says when a stream has begun; an event from before that is not in it.
        while not first.done():
            await other.event("echo", b"v1")
            await asyncio.wait([first], timeout=0.05)
        event = first.result()
        assert (event["Event"], event["Name"], event["Payload"], event["LTime"]) == ("user", "echo", b"v1", 5), event
        query = asyncio.ensure_future(other.query_one("echo"))
        async for record in records:
            if record["Event"] == "query":
                break
        assert record["ID"] == 1 and record["Payload"] is None, record
        header = (await serf.respond(record["ID"], b"here"))[0]
        assert header["Error"] == "", header
        await query


async def monitor():
    async with connect() as serf:
        async for line in serf.monitor("INFO"):
            assert line == {"Log": "old [INFO] agent: two"}, line
            break


async def auth():
    async with serfio.Serf(host="127.0.0.1", port=guarded, auth_key=token) as serf:
        assert len(await serf.members()) == 2


async def main():
    for part in [commands, queries, stream, monitor, auth]:
        async with asyncio.timeout(20):
            await part()
    print("all done")


asyncio.run(main())
