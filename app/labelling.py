"""Routes of the labelling page: what to ask next, and one answer after another.

Reading is open; answering needs the admin token. An answer is acknowledged once it is on disk, under an id that the page chose:
sent again, it counts once. What the functions said comes back with the answer and not before. The model learns from the answer
after the response has gone out, so the question after the next one knows. Which video comes next is decided in `data.labels`.
"""

import threading
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app import schemas
from app.answers import Json
from app.ingest import reason
from app.ops import ADMIN, require_token
from app.services import Services
from core.clock import Clock
from core.errors import BadInput
from core.ids import to_id
from data.labels.answers import NO, SKIPPED, WITHDRAWN, YES, Answer
from data.labels.desk import Desk

QUESTIONS = {
    "clickbait": ("Is this clickbait?", "The title promises what the video does not hold."),
    "kids": ("Is this for kids?", "Children are meant to watch it, or would rather than adults."),
}
"""What people are asked, and what it means, by label."""
_SAID = {"yes": YES, "no": NO, "skip": SKIPPED, "undo": WITHDRAWN}

Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"\S")]
Asked = Literal["clickbait", "kids"]


class AnswerIn(BaseModel):
    """One answer of one person."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"label_id": "ada-kids-156", "question": "kids", "video_id": "156", "who": "ada", "answer": "yes"}
        }
    )

    label_id: Annotated[str, Field(min_length=8, max_length=100)]
    """Chosen by the sender, another one for every answer: what is sent again under it counts once."""
    question: Asked
    video_id: Annotated[str, Field(min_length=1, max_length=100)]
    who: Name
    answer: Literal["yes", "no", "skip", "undo"]
    """`undo` takes back what this person said of this video."""


class Labelling:
    """Handlers over the services."""

    def __init__(self, services: Services, clock: Clock) -> None:
        """`clock` says when something was answered; an old log's own time would not."""
        self._services, self._clock = services, clock
        self._lock = threading.Lock()
        self._of_release: tuple[str, Desk] | None = None

    def router(self) -> APIRouter:
        """Both routes."""
        router = APIRouter(default_response_class=Json, tags=["labelling"])
        router.add_api_route("/label/next", self.next, responses=schemas.problems(422, 429, 503))
        body = schemas.body(AnswerIn.model_json_schema())
        problems = schemas.problems(*schemas.ADMIN, *schemas.BODY, 404, 422, 429, 503)
        router.add_api_route(
            "/label/answers", self.answer, methods=["POST"], dependencies=ADMIN, responses=problems, openapi_extra=body
        )
        return router

    async def next(self, question: Asked, who: Annotated[str, Query(min_length=1, max_length=60)]) -> Response:
        """The video to ask this person about; `video` is null when there is none left."""
        return Json(await run_in_threadpool(self._next, question, who.strip()))

    async def answer(self, request: Request) -> Response:
        """Keep one answer; the response says what labelling functions, the model and other people thought."""
        require_token(request, self._services.settings.admin_token)
        try:
            answer = AnswerIn.model_validate_json(await request.body())
        except ValidationError as error:
            raise BadInput(reason(error)) from error
        kept = await run_in_threadpool(self._keep, answer)
        return Json(kept, background=BackgroundTask(self._desk().refit, answer.question))

    def _next(self, question: str, who: str) -> dict[str, Any]:
        desk, live = self._desk(), self._services.releases.live
        gone = np.empty(0, np.int64) if live.removed is None else live.catalogue.video_ids[live.removed()]
        video_id = desk.next(question, who, gone)
        video = None if video_id is None else live.cards.of(live.catalogue.rows([video_id]))[0]
        return {
            "question": question,
            "video": video,
            "at": self._services.clock.now(),
            "progress": desk.progress(question, who),
        }

    def _keep(self, answer: AnswerIn) -> dict[str, Any]:
        desk, live = self._desk(), self._services.releases.live
        video_id, who, said = to_id(answer.video_id), answer.who.strip(), _SAID[answer.answer]
        if not len(live.find(answer.video_id)):
            raise HTTPException(404, f"there is no video '{answer.video_id}'")
        revealed = desk.reveal(answer.question, video_id, who) if said else None
        self._services.answers.add(Answer(answer.label_id, answer.question, video_id, who, said, self._clock.now()))
        return {
            "label_id": answer.label_id,
            "revealed": revealed and revealed.to_json(),
            "progress": desk.progress(answer.question, who),
        }

    def _desk(self) -> Desk:
        """The desk of the live release."""
        live = self._services.releases.live
        with self._lock:
            if self._of_release is None or self._of_release[0] != live.release_id:
                self._of_release = live.release_id, Desk(live.catalogue, self._services.answers)
            return self._of_release[1]
