"""The minimal FastAPI service: checks a bearer token and a body, inserts one row through asyncpg.

Runs in the peers' environment. SUBMIT_DSN names the database, SUBMIT_SECRET signs tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import asyncpg
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

INSERT = "INSERT INTO minimal_job (name, type, payload) VALUES ($1, $2, $3) RETURNING id"


class Submission(BaseModel):
    name: str = Field(min_length=1, max_length=200)
    type: Literal["http", "shell", "etl", "ml", "python"]
    payload: dict[str, Any]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["SUBMIT_DSN"], min_size=1, max_size=8) as app.state.pool:
        yield


def bearer(authorization: Annotated[str, Header()]) -> str:
    scheme, _, token = authorization.partition(" ")
    name, _, signature = token.partition(".")
    wanted = hmac.new(os.environ["SUBMIT_SECRET"].encode(), name.encode(), hashlib.sha256).hexdigest()
    if scheme != "Bearer" or not hmac.compare_digest(signature, wanted):
        raise HTTPException(401)
    return name


app = FastAPI(lifespan=lifespan)


@app.post("/jobs/", status_code=201)
async def submit(wanted: Submission, user: Annotated[str, Depends(bearer)]) -> dict[str, Any]:
    job_id = await app.state.pool.fetchval(INSERT, wanted.name, wanted.type, json.dumps(wanted.payload))
    return {"id": job_id, "state": "queued", **wanted.model_dump()}
