// What Chromium runs: this function alone is sent to the page, and leaves `act(step)` there.

export function inThePage({ pieces: sizes, messages }) {
    const MESSAGES = messages.map(([kind, part, count]) => {
        const text = part.repeat(count);
        return kind === "text" ? text : Uint8Array.from(text, (byte) => byte.charCodeAt(0));
    });

    self.act = async (step) => {
        if (!step.method) return talk(step);
        const cookies = step.fields.some(([name]) => name === "Cookie");
        if (cookies) await fetch(`${step.path}&set`, { cache: "no-store" });
        const seen = [await ask(step, "no-store")];
        if (step.path.startsWith("/resource") && step.method === "GET" && !step.fields.length) {
            // As a page loads what the browser has in its cache: into it, then out of it if the server agrees.
            seen.push(await ask(step, "reload"), await ask(step, "no-cache"));
        }
        if (step.path.startsWith("/events")) seen.push(await listen(step));
        return seen;
    };

    async function ask(step, cache) {
        const body = { file: large, pieces: step.streams ? streamed : () => new Blob(pieces()) }[step.body]?.() ?? step.body;
        const answer = await fetch(step.path, {
            method: step.method,
            // The browser's own to say.
            headers: step.fields.filter(([name]) => name !== "Cookie"),
            body,
            cache,
            ...(body instanceof ReadableStream && { duplex: "half" }),
        });
        const reader = answer.body?.getReader();
        const received = [];
        let first = null;
        for (let next; reader && !(next = await reader.read()).done; ) {
            first ??= Date.now() / 1000;
            received.push(next.value);
        }
        const content = await new Blob(received).arrayBuffer();
        const read = { first, length: content.byteLength, sha256: await hash(content) };
        return { status: answer.status, reason: answer.statusText, fields: [...answer.headers], ...read };
    }

    /** 100 MB, as matrix.py has them. */
    function large() {
        const block = new Uint8Array(1_000_000);
        let number = 1;
        for (let i = 0; i < block.length; i++) {
            number = (Math.imul(number, 1664525) + 1013904223) >>> 0;
            block[i] = number >>> 24;
        }
        const blocks = Array.from({ length: 100 }, (_, count) => {
            block[0] = count;
            return block.slice();
        });
        return new Blob(blocks);
    }

    function pieces() {
        return sizes.map((size, number) => new Uint8Array(size).fill(number));
    }

    function streamed() {
        const left = pieces();
        return new ReadableStream({
            pull(controller) {
                if (left.length) controller.enqueue(left.shift());
                else controller.close();
            },
        });
    }

    /** An EventSource, until the server tells it to stay away. */
    function listen(step) {
        return new Promise((ended) => {
            const seen = { events: [], errors: [] };
            const times = [];
            const source = new EventSource(step.path);
            const take = ({ type, lastEventId, data }) => {
                times.push(Date.now());
                seen.events.push([type, lastEventId, data]);
            };
            source.onmessage = take;
            source.addEventListener("named", take);
            source.onerror = () => {
                seen.errors.push(source.readyState);
                // They were sent over 240 ms.
                if (source.readyState === EventSource.CLOSED) ended({ ...seen, streamed: times.at(-1) - times[0] > 100 });
            };
        });
    }

    function talk(step) {
        const tunnel = new WebSocket(location.origin.replace("http", "ws") + step.path, ["one", "two"]);
        tunnel.binaryType = "arraybuffer";
        const seen = { messages: [] };
        const next = () => {
            const number = seen.messages.length;
            if (number < MESSAGES.length) tunnel.send(MESSAGES[number]);
            else if (step.close) tunnel.close(...step.close);
            else tunnel.send(step.send);
        };
        return new Promise((ended) => {
            tunnel.onopen = () => {
                Object.assign(seen, { subprotocol: tunnel.protocol, extensions: tunnel.extensions });
                next();
            };
            tunnel.onmessage = async ({ data }) => {
                const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
                seen.messages.push([typeof data === "string" ? "text" : "binary", bytes.byteLength, await hash(bytes)]);
                next();
            };
            tunnel.onclose = ({ code, reason, wasClean }) => {
                ended([{ ...seen, close: code, close_reason: reason, clean: wasClean }]);
            };
        });
    }

    async function hash(bytes) {
        const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
        return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    }
}
