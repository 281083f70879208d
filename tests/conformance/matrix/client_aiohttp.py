"""aiohttp."""

import ssl

import aiohttp
import client


def session():
    context = ssl.create_default_context(cafile=client.authority())
    connector = aiohttp.TCPConnector(ssl=context)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())


async def ask(edge, origin, step):
    body, fields = step.get("body"), step["fields"]
    async with session() as http:
        file = open(client.large(), "rb") if body == "file" else None
        data = {"file": file, "pieces": pieces()}.get(body, body)
        url = aiohttp.client.URL(origin + step["path"], encoded=True)
        async with http.request(step["method"], url, headers=fields, data=data, allow_redirects=False) as answer:
            content = client.Body()
            async for piece in answer.content.iter_any():
                content.take(piece)
            return {
                "version": f"HTTP/{answer.version.major}.{answer.version.minor}",
                "status": answer.status,
                "reason": answer.reason,
                "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in answer.raw_headers],
            } | content.seen()


async def pieces():
    for piece in client.pieces():
        yield piece


async def talk(edge, origin, step):
    async with session() as http:
        try:
            tunnel = await http.ws_connect(origin + step["path"], protocols=["one", "two"], max_msg_size=0, compress=15)
        except aiohttp.WSServerHandshakeError as refusal:
            return {"status": refusal.status, "fields": [list(pair) for pair in refusal.headers.items()]}
        fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in tunnel._response.raw_headers]
        seen = {"status": 101, "fields": fields, "subprotocol": tunnel.protocol, "messages": []}
        async with tunnel:
            for message in client.MESSAGES:
                await (tunnel.send_str(message) if isinstance(message, str) else tunnel.send_bytes(message))
                seen["messages"].append(client.told((await tunnel.receive()).data))
            if "close" in step:
                code, reason = step["close"]
                await tunnel.close(code=code, message=reason.encode())
            else:
                await tunnel.send_str(step["send"])
                end = await tunnel.receive()
                # Not the tunnel's own word: it forgets the code if the server did not wait for its answer.
                return seen | {"close": end.data, "close_reason": end.extra}
            return seen | {"close": tunnel.close_code}


client.main(ask, talk)
