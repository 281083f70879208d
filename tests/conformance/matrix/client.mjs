// What the clients of Node share; client.py says what a client is.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export const KNOWN = JSON.parse(readFileSync(new URL("cases.json", import.meta.url)));
export const MESSAGES = KNOWN.messages.map(([kind, part, count]) => {
    return kind === "text" ? part.repeat(count) : Buffer.from(part.repeat(count), "latin1");
});
const TIMEOUT = 30_000;

export const authority = process.env.CA && readFileSync(process.env.CA);

/** `ask(edge, origin, step)` makes a request, `talk(edge, origin, step)` has a WebSocket; each tells what it saw. */
export async function main(ask, talk, end = () => {}) {
    const [edge, origin, chosen] = process.argv.slice(2);
    const seen = {};
    for (const name of chosen.split(",")) {
        const act = name === "websocket" ? talk : ask;
        try {
            const steps = [];
            for (const [index, step] of KNOWN.cases[name].entries()) {
                const path = `${step.path}${step.path.includes("?") ? "&" : "?"}case=${name}&step=${index + 1}`;
                const found = [await soon(act(edge, origin, { ...step, path }))].flat();
                steps.push(...found.map((one) => ({ step: String(index + 1), ...one })));
            }
            seen[name] = { steps };
        } catch (error) {
            seen[name] = { error: [error, error.cause].filter(Boolean).join(": ") };
        }
    }
    await end();
    await new Promise((written) => process.stdout.write(JSON.stringify(seen), written));
    process.exit(0);
}

function soon(result) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error("timed out")), TIMEOUT);
    });
    return Promise.race([result, late]).finally(() => clearTimeout(timer));
}

/** Of an answer, piece by piece. */
export class Body {
    digest = createHash("sha256");
    length = 0;
    first = null;

    take(piece) {
        this.first ??= Date.now() / 1000;
        this.digest.update(piece);
        this.length += piece.length;
    }

    seen() {
        return { length: this.length, sha256: this.digest.digest("hex"), first: this.first };
    }
}

export async function* pieces() {
    for (const [number, size] of KNOWN.pieces.entries()) yield Buffer.alloc(size, number);
}

/** A message of a WebSocket, in short. */
export function told(content) {
    const bytes = Buffer.from(content);
    return [typeof content === "string" ? "text" : "binary", bytes.length, createHash("sha256").update(bytes).digest("hex")];
}

export function pairs(raw) {
    return Array.from({ length: raw.length / 2 }, (_, index) => [raw[2 * index], String(raw[2 * index + 1])]);
}
