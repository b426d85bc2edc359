"""The routes of a push from the page. Its progress is in the board of variants."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import SecretStr
from starlette.requests import Request

from playground.push import plan
from playground.push.pushes import Pushes
from playground.spec import Spec
from playground.web.owner import Owner


class Preview(Spec):
    """id: of the variant; repository: OWNER/NAME, "" for an example."""

    id: str
    repository: str = ""


class Start(Spec):
    """replace: whether other files of the repository are deleted."""

    id: str
    repository: str
    token: SecretStr
    private: bool = True
    replace: bool = False


class Stop(Spec):
    id: str


def router(owner: Owner, pushes: Pushes) -> APIRouter:
    """Return the routes of `/api/push`, all for the owner."""
    routes = APIRouter(prefix="/api/push", tags=["push"])

    @routes.post("/preview")
    def preview(asked: Preview, request: Request) -> dict[str, Any]:
        """The model card as it would be pushed. It may request the base model's licence from the hub."""
        owner.check(request)
        planned = plan(asked.id, asked.repository.strip())
        return {"card": planned.card, "files": planned.files.names, "bytes": planned.bytes}

    @routes.post("/start")
    def start(asked: Start, request: Request) -> dict[str, Any]:
        """Push a variant to a repository of the hub, in a thread. The token is stored nowhere and is in no response."""
        owner.check(request)
        pushes.begin(
            asked.id,
            asked.repository.strip(),
            asked.token.get_secret_value().strip(),
            private=asked.private,
            replace=asked.replace,
        )
        return {"id": asked.id}

    @routes.post("/stop")
    def stop(asked: Stop, request: Request) -> dict[str, Any]:
        """Stop a push that is running."""
        owner.check(request)
        pushes.halt(asked.id)
        return {"id": asked.id}

    return routes
