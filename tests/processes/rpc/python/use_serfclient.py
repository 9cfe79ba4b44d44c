"""serfclient: what it does against a real agent. Arguments: port, port of an agent with a token, the token."""

import sys

from serfclient.client import SerfClient

port, guarded, token = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
client = SerfClient(host="127.0.0.1", port=port)


def check(response, error=b""):
    head = {k if isinstance(k, bytes) else k.encode(): v for k, v in response.head.items()}
    got = head[b"Error"]
    assert (got if isinstance(got, bytes) else got.encode()) == error, response
    return response.body


members = check(client.members())["Members"]
assert [m["Name"] for m in members] == ["lb1", "web1"], members
assert members[0]["Addr"] == b"\x7f\x00\x00\x15" and members[0]["Port"] == 7946, members
assert members[0]["Tags"] == {"role": "lb"}, members
assert [m["Name"] for m in check(client.members(tags={"role": "web"}))["Members"]] == ["web1"]
assert check(client.members(name="nobody", status="alive"))["Members"] == []
for payload in ["text", b"bytes", None]:
    check(client.event("deploy", payload))
check(client.event("deploy", "x" * 600), b"user event exceeds configured limit of 512 bytes before encoding")
assert check(client.stats())["agent"] == {"name": "lb1"}
assert check(client.join(["127.0.0.22:7946"]))["Num"] == 1
failed = client.join("127.0.0.29")
assert failed.body["Num"] == 0 and "Failed to join" in failed.head["Error"], failed
check(client.force_leave("nobody"))

# Its generator of records cannot run on Python 3; the stream begins all the same.
stream = SerfClient(host="127.0.0.1", port=port)
check(stream.stream("user"))

known = SerfClient(host="127.0.0.1", port=guarded, rpc_auth=token)
assert len(check(known.members())["Members"]) == 2
stranger = SerfClient(host="127.0.0.1", port=guarded)
check(stranger.event("deploy"), b"Authentication required")
check(stranger.event("deploy"), b"Authentication required")
print("all done")
