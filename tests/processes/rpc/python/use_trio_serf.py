"""trio-serf with the msgpack it works with. Arguments: port, port of an agent with a token, the token."""

import sys

import trio
import trio_serf

port, guarded, token = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


async def commands(serf):
    members = (await serf.members()).body[b"Members"]
    assert [m[b"Name"] for m in members] == [b"lb1", b"web1"], members
    filtered = (await serf.members(status="alive", tags={"role": "web"})).body[b"Members"]
    assert [m[b"Name"] for m in filtered] == [b"web1"], filtered
    await serf.event("deploy", b"v1", coalesce=False)
    assert (await serf.stats()).body[b"agent"] == {b"name": b"lb1"}
    assert (await serf.join("127.0.0.22")).body[b"Num"] == 1
    keys = (await serf.list_keys()).body
    assert list(keys[b"Keys"].values()) == [2] and keys[b"NumResp"] == 2, keys
    await serf.force_leave("nobody")


async def query(serf):
    async with serf.query("uptime", request_ack=True) as answers:
        got = [(answer.type, getattr(answer, "from"), answer.payload) async for answer in answers]
    assert got == [("ack", "lb1", None), ("ack", "web1", None), ("response", "web1", b"up\n")], got


async def stream(serf):
    async with serf.stream("user:echo") as events:
        await serf.event("echo", b"v2", coalesce=False)
        async for event in events:
            assert event.payload == b"v2", vars(event)
            break
    # Stopped with a bin key; the connection still works.
    assert len((await serf.members()).body[b"Members"]) == 2


async def monitor(serf):
    async with serf.monitor("info") as lines:
        async for line in lines:
            assert "agent: two" in line.log, vars(line)
            break
    assert len((await serf.members()).body[b"Members"]) == 2


async def main():
    for part in [commands, query, stream, monitor]:
        with trio.fail_after(20):
            async with trio_serf.serf_client(host="127.0.0.1", port=port) as serf:
                await part(serf)
    with trio.fail_after(20):
        async with trio_serf.serf_client(host="127.0.0.1", port=guarded, rpc_auth=token) as serf:
            assert len((await serf.members()).body[b"Members"]) == 2
    print("all done")


trio.run(main)
