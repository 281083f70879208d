// A Node server: listens on the unix socket named by its argument, or on PORT.

const http = require("node:http");

const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://app");
    if (pathname === "/block") {
        const end = performance.now() + Number(searchParams.get("ms"));
        while (performance.now() < end);
    }
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ client: request.headers["x-forwarded-for"], pid: process.pid }));
});
server.listen(process.argv[2] ?? process.env.PORT);
