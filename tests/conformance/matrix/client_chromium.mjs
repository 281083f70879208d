// Chromium, driven by playwright-core: a page of the server itself runs the cases, so that nothing is of another origin.

import { X509Certificate, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { KNOWN, main } from "./client.mjs";
import { inThePage } from "./page.mjs";

const { chromium } = createRequire(`${process.env.NODE_TOOLS}/`)("playwright-core");

let page;

async function open(origin) {
    const key = new X509Certificate(readFileSync(process.env.CERTIFICATE)).publicKey.export({ type: "spki", format: "der" });
    const trusted = createHash("sha256").update(key).digest("base64");
    const browser = await chromium.launch({
        executablePath: "/usr/bin/chromium",
        args: [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            `--ignore-certificate-errors-spki-list=${trusted}`,
        ],
    });
    const opened = await browser.newPage();
    await opened.goto(`${origin}/page?case=page`);
    await opened.evaluate(inThePage, KNOWN);
    return opened;
}

async function act(edge, origin, step) {
    page ??= await open(origin);
    return page.evaluate((asked) => self.act(asked), { ...step, streams: edge === "h2" });
}

await main(act, act, async () => page?.context().browser().close());
