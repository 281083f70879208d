// Node's http2: streams side by side, an upload, a download and an early cancel. Its argument is the proxy's address.

import assert from "node:assert";
import { once } from "node:events";
import http2 from "node:http2";

const session = http2.connect(process.argv[2]);

async function ask(head, body) {
    const stream = session.request(head);
    stream.end(body);
    const [headers] = await once(stream, "response");
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return { status: headers[":status"], body: Buffer.concat(chunks) };
}

const pages = await Promise.all(Array.from({ length: 90 }, () => ask({ ":path": "/openapi.json" })));
assert(pages.every((page) => page.status === 200 && page.body.equals(pages[0].body)));

const upload = await ask({ ":path": "/upload", ":method": "POST" }, Buffer.alloc(4_000_000));
assert.equal(JSON.parse(upload.body).length, 4_000_000);

const downloads = await Promise.all([1, 2, 3].map(() => ask({ ":path": "/download?chunks=500" })));
assert(downloads.every((download) => download.body.length === 500 * 1024 * 8));

const cancelled = session.request({ ":path": "/download?chunks=5000" });
await once(cancelled, "data");
cancelled.close(http2.constants.NGHTTP2_CANCEL);
await once(cancelled, "close");
assert.equal((await ask({ ":path": "/openapi.json" })).status, 200);

await new Promise((resolve) => session.close(resolve));
