"""A FastAPI app with the ways to be slow that matter: awaiting, and blocking the event loop."""

import asyncio
import os
import time

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/")
async def index() -> dict[str, int]:
    return {"pid": os.getpid()}


@app.get("/client")
async def client(request: Request) -> dict[str, str | None]:
    return {
        "client": request.client.host if request.client else None,
        "host": request.headers["host"],
        "scheme": request.url.scheme,
    }


@app.get("/sleep")
async def sleep(ms: int = 1000) -> dict[str, int]:
    await asyncio.sleep(ms / 1000)
    return {"pid": os.getpid()}


@app.get("/block")
async def block(ms: int = 1000) -> dict[str, int]:
    time.sleep(ms / 1000)
    return {"pid": os.getpid()}
