"""The exception tree. Every message is a sentence for the user; `hint` says what to do about it.

PlaygroundError
├── CatalogError            a name, repository, folder or file that cannot be used
│   ├── UnknownModel        no such model, repository, folder or file
│   ├── UnknownVariant      the model exists, this variant of it does not
│   ├── GatedModel          the hub requires a login or an accepted licence
│   ├── HubUnreachable      the hub does not answer and nothing is cached
│   ├── UnsafeModel         pickle weights, remote code: refused before anything loads
│   ├── UnsafeAddress       an endpoint at a link-local, metadata or reserved address
│   ├── UnsupportedModel    not a causal language model, or a format nothing here can run
│   └── BrokenCheckpoint    truncated, corrupt or incomplete files
├── EngineError             a generation or a load that failed
│   ├── EngineUnavailable   cannot run on this machine: what is missing, what to install
│   ├── EngineDied          the process ended; carries its last log lines
│   ├── OutOfMemory         does not fit: needed, free, what to unload
│   ├── ContextOverflow     prompt + max tokens exceed the context: both numbers
│   └── InvalidRequest      the request itself is wrong
├── InvalidCalibration      calibration text that cannot be used: empty, too little, broken
├── InvalidRecipe           a method, scheme, group size or layer pattern that cannot work on this model
├── QuantizeFailed          quantizing stopped: what the tool said, in one sentence
│   └── ReloadMismatch      the saved checkpoint differs from the model in memory
├── EvaluationError         an evaluation that cannot be made as requested
│   ├── UnknownTask         neither lm-eval nor this program has a task of this name
│   ├── UnsafeTask          the task runs code written by a model, and the request does not allow that
│   ├── MissingData         the task's data is neither on the hub, nor in the local folder
│   └── DifferentTokenizer  two variants do not share token ids: their distributions cannot be compared
├── UnknownRun              no stored result of this id
├── UnknownSession          no session of this id, or another's
├── ReviewError             a blind review that cannot be made, opened or voted on
│   ├── UnknownReview       no review behind this link
│   ├── VoteRefused         the item has this reviewer's vote already, or is not the next one
│   └── ReviewOver          the review was closed, or all its places are taken
├── PushError               a push to the hub that failed
│   ├── MissingToken        no token was given
│   ├── WrongToken          the hub rejects this token
│   ├── NoRights            the token has no write access there
│   └── NameTaken           the repository has other files, or is public where private was requested
├── JobError                a job that failed
│   ├── UnknownJob          no job of this id
│   ├── JobDied             its worker exited without an error; carries its last log lines
│   ├── JobInterrupted      the app or the machine stopped before the job did; it can be run again
│   └── OutOfDisk           no disk space for its files
├── ServerUnreachable       the server of `--server` does not answer, or something else does
├── StoreUnavailable        the database cannot be read or written now: disk full, no server, locked
├── InvalidSettings         a PLAYGROUND_* variable that cannot be used
├── OwnerOnly               only the owner of this page may do that
├── NotOffered              a model that the owner does not offer to visitors
├── WrongLogin              not the token of this page's owner
├── TooMany                 a visitor's limit is reached: runs, logins, or concurrent runs
├── OutOfQuota              visitors' results have reached their limit of disk space
└── Cancelled               the user stopped it; not a failure
"""

from __future__ import annotations


class PlaygroundError(Exception):
    """Root of the tree. `str(error)` is safe to show: it never contains a traceback."""

    code = "error"
    status = 500

    def __init__(self, message: str, *, hint: str = "", log_tail: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field  # of the request, where it is one field that is wrong
        self.hint = hint
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class CatalogError(PlaygroundError):
    code = "catalog_error"
    status = 400


class UnknownModel(CatalogError):
    code = "unknown_model"
    status = 404


class UnknownVariant(CatalogError):
    code = "unknown_variant"
    status = 404


class GatedModel(CatalogError):
    code = "gated_model"
    status = 403


class HubUnreachable(CatalogError):
    code = "hub_unreachable"
    status = 503


class UnsafeModel(CatalogError):
    code = "unsafe_model"
    status = 403


class UnsafeAddress(CatalogError):
    code = "unsafe_address"
    status = 403


class UnsupportedModel(CatalogError):
    code = "unsupported_model"
    status = 422


class BrokenCheckpoint(CatalogError):
    code = "broken_checkpoint"
    status = 422


class EngineError(PlaygroundError):
    code = "engine_error"
    status = 500


class EngineUnavailable(EngineError):
    code = "engine_unavailable"
    status = 503


class EngineDied(EngineError):
    code = "engine_died"
    status = 502


class OutOfMemory(EngineError):
    code = "out_of_memory"
    status = 507


class ContextOverflow(EngineError):
    code = "context_overflow"
    status = 400


class InvalidRequest(EngineError):
    code = "invalid_request"
    status = 400


class InvalidCalibration(PlaygroundError):
    code = "invalid_calibration"
    status = 400


class InvalidRecipe(PlaygroundError):
    code = "invalid_recipe"
    status = 400


class QuantizeFailed(PlaygroundError):
    code = "quantize_failed"
    status = 500


class ReloadMismatch(QuantizeFailed):
    code = "reload_mismatch"
    status = 500


class EvaluationError(PlaygroundError):
    code = "evaluation"
    status = 400


class UnknownTask(EvaluationError):
    code = "unknown_task"
    status = 404


class UnsafeTask(EvaluationError):
    code = "unsafe_task"
    status = 403


class MissingData(EvaluationError):
    code = "missing_data"
    status = 404


class DifferentTokenizer(EvaluationError):
    code = "different_tokenizer"
    status = 409


class UnknownRun(PlaygroundError):
    code = "unknown_run"
    status = 404


class UnknownSession(PlaygroundError):
    code = "unknown_session"
    status = 404


class ReviewError(PlaygroundError):
    code = "review"
    status = 400


class UnknownReview(ReviewError):
    code = "unknown_review"
    status = 404


class VoteRefused(ReviewError):
    code = "vote_refused"
    status = 409


class ReviewOver(ReviewError):
    code = "review_over"
    status = 410


class PushError(PlaygroundError):
    code = "push_failed"
    status = 502


class MissingToken(PushError):
    code = "missing_token"
    status = 401


class WrongToken(PushError):
    code = "wrong_token"
    status = 401


class NoRights(PushError):
    code = "no_rights"
    status = 403


class NameTaken(PushError):
    code = "name_taken"
    status = 409


class JobError(PlaygroundError):
    code = "job_error"
    status = 500


class UnknownJob(JobError):
    code = "unknown_job"
    status = 404


class JobDied(JobError):
    code = "job_died"
    status = 500


class JobInterrupted(JobError):
    code = "job_interrupted"
    status = 503


class OutOfDisk(JobError):
    code = "out_of_disk"
    status = 507


class ServerUnreachable(PlaygroundError):
    code = "server_unreachable"
    status = 502


class StoreUnavailable(PlaygroundError):
    code = "store_unavailable"
    status = 503


class InvalidSettings(PlaygroundError):
    code = "invalid_settings"
    status = 500


class OwnerOnly(PlaygroundError):
    code = "owner_only"
    status = 403


class NotOffered(PlaygroundError):
    code = "not_offered"
    status = 403


class WrongLogin(PlaygroundError):
    code = "wrong_login"
    status = 401


class TooMany(PlaygroundError):
    code = "too_many"
    status = 429


class OutOfQuota(PlaygroundError):
    code = "out_of_quota"
    status = 507


class Cancelled(PlaygroundError):
    code = "cancelled"
    status = 499


def _by_code(root: type[PlaygroundError]) -> dict[str, type[PlaygroundError]]:
    """The classes of the tree by code. A subclass without its own code is sent as its parent, and left out."""
    kinds = {root.code: root}
    for child in root.__subclasses__():
        if "code" in vars(child):
            kinds |= _by_code(child)
    return kinds


def from_wire(body: dict[str, object]) -> PlaygroundError:
    """The error of a response body `{"error": {"code", "message", "hint"}}`; EngineError for an unknown code."""
    raw = body.get("error")
    fields = raw if isinstance(raw, dict) else {"message": raw if isinstance(raw, str) else str(body)}
    kind = _by_code(PlaygroundError).get(str(fields.get("code")), EngineError)
    return kind(str(fields.get("message", "The engine failed.")), hint=str(fields.get("hint") or ""))


def to_wire(error: PlaygroundError) -> dict[str, dict[str, str]]:
    """The error as an OpenAI-style response body; inverse of `from_wire`."""
    body = {"message": error.message, "type": error.code, "code": error.code, "hint": error.hint}
    return {"error": body}
