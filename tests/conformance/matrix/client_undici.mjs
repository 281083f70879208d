// fetch and WebSocket as Node has them, from the package undici, which lets its agent speak HTTP/2.

import { openAsBlob } from "node:fs";
import { createRequire } from "node:module";
import { Body, MESSAGES, authority, main, pieces, told } from "./client.mjs";

const { Agent, WebSocket, fetch } = createRequire(`${process.env.NODE_TOOLS}/`)("undici");

let agent;

function dispatcher(edge) {
    return (agent ??= new Agent({ allowH2: edge === "h2", connect: { ca: authority } }));
}

async function ask(edge, origin, step) {
    const made = { file: () => openAsBlob(process.env.UPLOAD), pieces: () => ReadableStream.from(pieces()) }[step.body];
    // Of an empty body undici never sends the end by HTTP/2.
    const body = (await made?.()) ?? (step.body || undefined);
    const answer = await fetch(origin + step.path, {
        method: step.method,
        headers: step.fields,
        body,
        duplex: "half",
        dispatcher: dispatcher(edge),
    });
    const content = new Body();
    for await (const piece of answer.body ?? []) content.take(piece);
    return { status: answer.status, reason: answer.statusText, fields: [...answer.headers], ...content.seen() };
}

async function talk(edge, origin, step) {
    const options = { protocols: ["one", "two"], dispatcher: dispatcher(edge) };
    const tunnel = new WebSocket(origin.replace("http", "ws") + step.path, options);
    tunnel.binaryType = "arraybuffer";
    const seen = { messages: [] };
    await new Promise((ended) => {
        const next = () => {
            const number = seen.messages.length;
            if (number < MESSAGES.length) tunnel.send(MESSAGES[number]);
            else if (step.close) tunnel.close(...step.close);
            else tunnel.send(step.send);
        };
        tunnel.onopen = () => {
            Object.assign(seen, { subprotocol: tunnel.protocol, extensions: tunnel.extensions });
            next();
        };
        tunnel.onmessage = ({ data }) => {
            seen.messages.push(told(data));
            next();
        };
        tunnel.onclose = ({ code, reason, wasClean }) => {
            ended({ ...seen, close: code, close_reason: reason, clean: wasClean });
        };
    });
    return seen;
}

await main(ask, talk);
