// Enough of RFC 6455 to have a WebSocket on any stream of bytes, as a client without extensions.

import { randomBytes } from "node:crypto";

/** One frame, masked as a client's must be. */
export function frame(opcode, content) {
    const head = content.length < 126 ? Buffer.alloc(2) : content.length < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    if (head.length === 2) head[1] = 0x80 | content.length;
    else if (head.length === 4) {
        head[1] = 0x80 | 126;
        head.writeUInt16BE(content.length, 2);
    } else {
        head[1] = 0x80 | 127;
        head.writeBigUInt64BE(BigInt(content.length), 2);
    }
    const mask = randomBytes(4);
    const masked = Buffer.from(content);
    for (let i = 0; i < masked.length; i++) masked[i] ^= mask[i % 4];
    return Buffer.concat([head, mask, masked]);
}

/** The messages that come: [opcode, content] each, fragments joined, pings left out. */
export async function* messages(stream, head = Buffer.alloc(0)) {
    let bytes = Buffer.from(head);
    let fragments = null;
    const source = stream[Symbol.asyncIterator]();
    const more = async () => {
        const { value, done } = await source.next();
        if (!done) bytes = Buffer.concat([bytes, value]);
        return !done;
    };
    for (;;) {
        while (bytes.length < 2) if (!(await more())) return;
        let [start, length] = [2, bytes[1] & 127];
        if (length >= 126) {
            start = length === 126 ? 4 : 10;
            while (bytes.length < start) if (!(await more())) return;
            length = start === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
        }
        while (bytes.length < start + length) if (!(await more())) return;
        const [isLast, opcode, content] = [bytes[0] & 0x80, bytes[0] & 15, bytes.subarray(start, start + length)];
        bytes = bytes.subarray(start + length);
        if (opcode === 8) yield [8, content];
        else if (opcode < 3) {
            fragments ??= { opcode, parts: [] };
            fragments.parts.push(Buffer.from(content));
            if (isLast) {
                yield [fragments.opcode, Buffer.concat(fragments.parts)];
                fragments = null;
            }
        }
    }
}
