// The app of the matrix for Node: answers and writes down as app.py does.
//   node app.mjs SOCKET                                   a unix socket, HTTP/1.1
//   node app.mjs PORT {h1|h1+tls|h2|h2c} CHAIN KEY        a port

import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";

const { WebSocketServer } = createRequire(`${process.env.NODE_TOOLS}/`)("ws");

const KNOWN = JSON.parse(readFileSync(new URL("cases.json", import.meta.url)));
const RESOURCE = Buffer.from(Array.from({ length: 100_000 }, (_, number) => (number * number) % 251));
const VALIDATORS = [
    ["ETag", '"v1"'],
    ["Last-Modified", "Tue, 24 Nov 2026 00:00:00 GMT"],
    ["Cache-Control", "max-age=0"],
    ["Vary", "x-none"],
];

/** What the app saw of a request. */
class Asked {
    constructor(request) {
        const [path, query = ""] = request.url.split(/\?(.*)/s);
        this.query = new URLSearchParams(query);
        const raw = request.rawHeaders;
        const fields = [];
        // What names the host in HTTP/2 is no field.
        const known = (name) => (name === ":authority" ? "host" : name);
        for (let i = 0; i < raw.length; i += 2) fields.push([known(String(raw[i])), String(raw[i + 1])]);
        this.field = Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]));
        this.seen = {
            case: this.query.get("case"),
            step: this.query.get("step"),
            method: request.method,
            path,
            query,
            fields: fields.filter(([name]) => !name.startsWith(":")),
            scheme: request.socket.encrypted ? "https" : "http",
            version: request.httpVersion,
            peer: request.socket.remoteAddress ?? null,
        };
    }

    async read(request) {
        const digest = createHash("sha256");
        let length = 0;
        for await (const piece of request) {
            digest.update(piece);
            length += piece.length;
        }
        Object.assign(this.seen, { length, sha256: digest.digest("hex") });
    }

    write() {
        appendFileSync(process.env.RECORDS, JSON.stringify(this.seen) + "\n");
    }
}

const PAGES = {
    "/page": (asked, response) => {
        return answer(response, 200, [["Content-Type", "text/html"]], "<!doctype html><title>matrix</title>");
    },
    "/upload": (asked, response) => {
        const told = JSON.stringify({ length: asked.seen.length, sha256: asked.seen.sha256 });
        return answer(response, 201, [["Content-Type", "application/json"], ["Location", "/made/1"]], told);
    },
    "/stream": async (asked, response) => {
        writeHead(response, 200, [["Content-Type", "application/octet-stream"]]);
        for (const [number, size] of KNOWN.pieces.entries()) {
            if (!response.write(Buffer.alloc(size, number))) await new Promise((free) => response.once("drain", free));
        }
        return end(response);
    },
    "/events": async (asked, response) => {
        if (asked.field["last-event-id"]) {
            // The client came back, as it should; this tells it to stay away.
            writeHead(response, 204, []);
            return end(response);
        }
        writeHead(response, 200, [["Content-Type", "text/event-stream; charset=utf-8"], ["Cache-Control", "no-store"]]);
        for (const event of KNOWN.events) {
            asked.seen.last_sent = Date.now() / 1000;
            response.write(event);
            await sleep(60);
        }
        return end(response);
    },
    "/resource": (asked, response) => {
        if (asked.field["if-none-match"] === '"v1"') {
            writeHead(response, 304, VALIDATORS);
            return end(response);
        }
        let status = 200, body = RESOURCE, extra = [];
        if (asked.field.range) {
            const [first, last] = asked.field.range.slice("bytes=".length).split("-");
            if (Number(first) >= RESOURCE.length) {
                return answer(response, 416, [["Content-Range", `bytes */${RESOURCE.length}`]], "");
            }
            [status, body] = [206, RESOURCE.subarray(Number(first), Number(last) + 1)];
            extra = [["Content-Range", `bytes ${first}-${last}/${RESOURCE.length}`]];
        }
        const head = [["Content-Type", "application/octet-stream"], ["Accept-Ranges", "bytes"], ...VALIDATORS, ...extra];
        return answer(response, status, head, body, asked.seen.method !== "HEAD");
    },
    "/cookie": (asked, response) => {
        const cookies = asked.query.has("set") ? ["a", "b"] : [];
        const sets = cookies.map((name) => ["Set-Cookie", `${name}=${name.repeat(4000)}; Path=/cookie; SameSite=Lax`]);
        const told = asked.seen.fields.filter(([name]) => name.toLowerCase() === "cookie").map(([, value]) => value);
        return answer(response, 200, [["Content-Type", "text/plain"], ...sets], told.join("; "));
    },
};

function fields(asked, response) {
    const head = [
        ["Content-Type", "text/plain; charset=utf-8"],
        ["Content-Encoding", "gzip"],
        ["X-Many", "one"],
        ["X-Many", "two, three"],
        ["X-Many", "one"],
        ["X-Empty", ""],
        ["X-Latin", "caf\u00e9"],
        ["X-Long", "l".repeat(4000)],
        ["X-Quoted", '"a,b"; c="\\"d\\""'],
        ["Server-Timing", "app;dur=1"],
        ["Link", "</a>; rel=preload"],
        ["Set-Cookie", "one=1; Path=/fields"],
        ["Set-Cookie", "two=2; Path=/fields; Expires=Wed, 01 Jan 2031 00:00:00 GMT"],
        ["Set-Cookie", "one=3; Path=/fields/x"],
    ];
    return answer(response, 202, head, gzipSync("text".repeat(1000)));
}

function answer(response, status, head, body, hasBody = true) {
    writeHead(response, status, [...head, ["Content-Length", String(Buffer.byteLength(body))]]);
    return end(response, hasBody ? body : undefined);
}

function writeHead(response, status, head) {
    const together = new Map();
    for (const [name, value] of head) together.set(name, [...(together.get(name) ?? []), value]);
    for (const [name, values] of together) response.setHeader(name, values.length > 1 ? values : values[0]);
    response.writeHead(status);
}

function end(response, body) {
    return new Promise((sent) => response.end(body, sent));
}

/** A client that leaves ends its request, not the server. */
function serve(request, response) {
    reply(request, response).catch((error) => console.error(error));
}

async function reply(request, response) {
    const asked = new Asked(request);
    if (!asked.seen.case) return answer(response, 404, [], "");
    await asked.read(request);
    await (PAGES[asked.seen.path] ?? fields)(asked, response);
    asked.write();
}

const choose = (offered) => (offered.has("two") ? "two" : false);
const sockets = new WebSocketServer({ noServer: true, handleProtocols: choose, perMessageDeflate: true });

/** Echoes; closes when it is told to; refuses on another path. */
function upgrade(request, socket, head) {
    const asked = new Asked(request);
    const offered = (asked.field["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim()).filter(Boolean);
    Object.assign(asked.seen, { subprotocols: offered, messages: [] });
    if (asked.seen.path === "/refuse") {
        socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return asked.write();
    }
    sockets.handleUpgrade(request, socket, head, (tunnel) => {
        let closing = false;
        tunnel.on("message", (content, isBinary) => {
            const digest = createHash("sha256").update(content).digest("hex");
            asked.seen.messages.push([isBinary ? "binary" : "text", content.length, digest]);
            closing = !isBinary && content.toString() === "close";
            if (closing) tunnel.close(4001, "asked to");
            else tunnel.send(content, { binary: isBinary });
        });
        tunnel.on("close", (code, reason) => {
            if (!closing) Object.assign(asked.seen, { close: code, reason: reason.toString() });
            asked.write();
        });
    });
}

const [place, edge = "h1", chain, key] = process.argv.slice(2);
const pair = chain && { cert: readFileSync(chain), key: readFileSync(key) };
const server = {
    "h1": () => http.createServer(serve),
    "h1+tls": () => https.createServer(pair, serve),
    "h2": () => http2.createSecureServer({ ...pair, allowHTTP1: true }, serve),
    "h2c": () => http2.createServer(serve),
}[edge]();
server.on("upgrade", upgrade);
if (Number(place)) server.listen(Number(place), "127.0.0.1");
else server.listen(place);
