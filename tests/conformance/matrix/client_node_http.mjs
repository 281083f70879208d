// Node's modules http, https and http2, and WebSockets on what they give: an upgrade, or an extended CONNECT (RFC 8441).

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createReadStream, statSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Body, MESSAGES, authority, main, pairs, pieces, told } from "./client.mjs";
import { frame, messages } from "./frames.mjs";

let session;

function connection(origin) {
    if (!session || session.closed || session.destroyed) session = http2.connect(origin, { ca: authority });
    return session;
}

async function ask(edge, origin, step) {
    const fields = {};
    for (const [name, value] of step.fields) fields[name] = fields[name] === undefined ? value : [fields[name], value].flat();
    // By HTTP/2 it would not say.
    const lengths = { undefined, pieces: undefined, file: statSync(process.env.UPLOAD).size };
    const length = step.body in lengths ? lengths[step.body] : step.body.length;
    if (length !== undefined) fields["content-length"] = length;
    const source = {
        file: () => createReadStream(process.env.UPLOAD),
        pieces: () => Readable.from(pieces(), { objectMode: false }),
    }[step.body];
    const send = edge === "h2" || edge === "h2c" ? sendByHttp2 : sendByHttp1;
    const sent = send(origin, step, fields);
    const answered = once(sent, "response");
    const body = source ? pipeline(source(), sent) : sent.end(step.body);
    // In HTTP/2 the answer's head alone, its flags and its fields as they came.
    const [first, , raw] = await answered;
    const content = new Body();
    for await (const piece of raw ? sent : first) content.take(piece);
    await body;
    if (!raw) {
        const { httpVersion: version, statusCode: status, statusMessage: reason, rawHeaders, rawTrailers } = first;
        return { version, status, reason, fields: pairs(rawHeaders), trailers: pairs(rawTrailers), ...content.seen() };
    }
    const seen = pairs(raw).filter(([name]) => !name.startsWith(":"));
    return { version: "2", status: first[":status"], reason: "", fields: seen, trailers: [], ...content.seen() };
}

function sendByHttp1(origin, step, fields) {
    const { request } = origin.startsWith("https") ? https : http;
    return request(origin + step.path, { method: step.method, headers: fields, ca: authority });
}

function sendByHttp2(origin, step, fields) {
    const hasBody = step.body !== undefined;
    return connection(origin).request({ ":method": step.method, ":path": step.path, ...fields }, { endStream: !hasBody });
}

async function talk(edge, origin, step) {
    const offer = { "sec-websocket-protocol": "one, two", "sec-websocket-version": "13" };
    const open = edge === "h2" || edge === "h2c" ? openByHttp2 : openByHttp1;
    const { stream, head, ...seen } = await open(origin, step, offer);
    if (!stream) return seen;
    seen.messages = [];
    const incoming = messages(stream, head);
    for (const message of MESSAGES) {
        stream.write(frame(typeof message === "string" ? 1 : 2, Buffer.from(message)));
        const [opcode, content] = (await incoming.next()).value;
        seen.messages.push(told(opcode === 1 ? content.toString() : content));
    }
    const close = (code, reason) => frame(8, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));
    stream.write(step.close ? close(...step.close) : frame(1, Buffer.from(step.send)));
    const [opcode, content] = (await incoming.next()).value;
    Object.assign(seen, { opcode, close: content.readUInt16BE(0), close_reason: content.toString("utf8", 2) });
    if (!step.close) stream.write(frame(8, content));
    // Now the server ends the stream; without having read the answer to its close, it is a reset, as chance has it.
    await incoming.next().catch(() => {});
    stream.end();
    return seen;
}

async function openByHttp1(origin, step, offer) {
    const { request } = origin.startsWith("https") ? https : http;
    const key = randomBytes(16).toString("base64");
    const headers = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": key, ...offer };
    const sent = request(origin + step.path, { headers, ca: authority });
    sent.end();
    const [answer, stream, head] = await Promise.race([once(sent, "upgrade"), once(sent, "response")]);
    const seen = { status: answer.statusCode, fields: pairs(answer.rawHeaders) };
    if (stream) return { ...seen, stream, head };
    answer.resume();
    return seen;
}

async function openByHttp2(origin, step, offer) {
    // Of its own: hypercorn ends the connection with the WebSocket.
    const session = http2.connect(origin, { ca: authority });
    if (!session.remoteSettings?.enableConnectProtocol) await once(session, "remoteSettings");
    if (!session.remoteSettings.enableConnectProtocol) throw new Error("the server offers no extended CONNECT");
    const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": step.path, ...offer });
    const [answer, , raw] = await once(stream, "response");
    const seen = { status: answer[":status"], fields: pairs(raw).filter(([name]) => !name.startsWith(":")) };
    if (answer[":status"] === 200) return { ...seen, stream };
    stream.resume();
    return seen;
}

await main(ask, talk);
