// Node's fetch: keep-alive, a streamed upload and a streamed download. Its argument is the proxy's address.

import assert from "node:assert";

const address = process.argv[2];
for (let round = 0; round < 20; round++) {
    const answer = await fetch(`${address}/openapi.json`);
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
}

const upload = new ReadableStream({
    start(controller) {
        for (let chunk = 0; chunk < 64; chunk++) controller.enqueue(new Uint8Array(65536));
        controller.close();
    },
});
const told = await (await fetch(`${address}/upload`, { method: "POST", body: upload, duplex: "half" })).json();
assert.equal(told.length, 64 * 65536);
assert.equal(told.coding, "chunked");

let received = 0;
for await (const chunk of (await fetch(`${address}/download?chunks=500`)).body) received += chunk.length;
assert.equal(received, 500 * 1024 * 8);
