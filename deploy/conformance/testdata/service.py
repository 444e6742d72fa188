# The service behind the gateway: it says what it was asked, and echoes messages. Plain ASGI,
# so that uvicorn is all it needs.
import hashlib
import json


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
    elif scope["type"] == "http":
        await tell(scope, receive, send)


async def tell(scope, receive, send):
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return
        digest.update(event.get("body", b""))
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    fields = {name.decode(): value.decode() for name, value in scope["headers"]}
    if scope["path"] == "/large":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for i in range(32):  # 2 MiB without a length
            await send({"type": "http.response.body", "body": bytes([i]) * 65536, "more_body": i < 31})
        return
    answer = json.dumps({
        "method": scope["method"],
        "query": scope["query_string"].decode(),
        "subject": fields.get("x-auth-subject"),
        "scheme": fields.get("x-forwarded-proto"),
        "hidden": [n for n in ("authorization", "expect", "upgrade", "http2-settings") if n in fields],
        "size": size,
        "sha256": digest.hexdigest(),
    }).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]})
    await send({"type": "http.response.body", "body": answer})


async def echo(scope, receive, send):
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] != "websocket.receive":
            return
        if event.get("text") is not None:
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
