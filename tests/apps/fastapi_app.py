"""A FastAPI app with the ways to be slow that matter: awaiting, blocking the event loop, and holding the threads of `def` endpoints."""

import asyncio
import os
import time

from fastapi import FastAPI, Request

import presence

# Where it is below the root of its host, if it is.
app = FastAPI(root_path=os.environ.get("ROOT_PATH", ""))
presence.announce()


@app.get("/")
async def index() -> dict[str, int]:
    return {"pid": os.getpid()}


@app.get("/client")
async def client(request: Request) -> dict[str, str | None]:
    return {
        "client": request.client.host if request.client else None,
        "host": request.headers["host"],
        "scheme": request.url.scheme,
        "version": request.scope["http_version"],
    }


@app.get("/sleep")
async def sleep(ms: int = 1000) -> dict[str, int]:
    await asyncio.sleep(ms / 1000)
    return {"pid": os.getpid()}


@app.get("/block")
@app.post("/block")
async def block(ms: int = 1000) -> dict[str, int]:
    time.sleep(ms / 1000)
    return {"pid": os.getpid()}


@app.get("/quick")
def quick() -> dict[str, int]:
    return {"pid": os.getpid()}


@app.get("/stuck")
def stuck(ms: int = 1000) -> dict[str, int]:
    time.sleep(ms / 1000)
    return {"pid": os.getpid()}


@app.get("/items/{item_id}")
async def item(item_id: str) -> dict[str, str]:
    return {"item": item_id}
