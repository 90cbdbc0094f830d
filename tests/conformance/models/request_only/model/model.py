"""Takes nothing but the request; nobody else parses its body."""

from fastapi import Request


class Model:
    async def predict(self, request: Request):
        body = await request.body()
        return {
            "body": body.decode(errors="replace"),
            "length": len(body),
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": [[name, value] for name, value in request.headers.items()],
            "client": request.client.host if request.client else None,
        }
