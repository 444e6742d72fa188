# A service as FastAPI's own tutorial writes it.
from fastapi import FastAPI

app = FastAPI()


@app.get("/reports/")
async def reports():
    return {"reports": [1, 2]}


@app.get("/admin/users")
async def users():
    return {"users": ["ann"]}
