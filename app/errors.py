"""Every error Deltahub raises on purpose: whose fault it is, what to do, whether a retry can help.

DeltahubError
├── Problem               an HTTP caller did something: becomes problem+json (RFC 9457)
│   ├── NotJSON           400   ├── NotFound     404
│   ├── Invalid           422   ├── Conflict     409
│   ├── TooLarge          413   ├── Unauthorized 401
│   ├── Unsupported       415   ├── Forbidden    403
│   ├── TooMany           429   └── Overloaded   503
├── UpstreamError         the model's server did something: becomes the event `error`
└── SettingsError         the operator did something: said in one line at start
"""

from __future__ import annotations


class DeltahubError(Exception):
    """The root; catching it catches what Deltahub raises on purpose and nothing else."""


class Problem(DeltahubError):
    """A request that can't be served as asked.

    `code` is stable and for programs, `detail` is a sentence for people, `field` names the one
    member of the body or query at fault ("" where none is), `retry_after` is seconds or None.
    """

    status = 400
    code = "bad_request"
    title = "Bad request"

    def __init__(
        self, detail: str, *, code: str = "", field: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.field = field
        self.retry_after = retry_after


class NotJSON(Problem):
    code, title = "not_json", "The body is not JSON"


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "Credentials needed"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(Problem):
    status, code, title = 404, "not_found", "Not found"


class Conflict(Problem):
    status, code, title = 409, "conflict", "In conflict with what there is"


class TooLarge(Problem):
    status, code, title = 413, "too_large", "Too large"


class Unsupported(Problem):
    status, code, title = 415, "unsupported_media_type", "Not application/json"


class Invalid(Problem):
    status, code, title = 422, "invalid", "A field is wrong"


class TooMany(Problem):
    status, code, title = 429, "busy", "Too many at once"


class Overloaded(Problem):
    status, code, title = 503, "overloaded", "No room at the moment"


class UpstreamError(DeltahubError):
    """An answer could not be had whole. `code` is one of the event `error` in docs/protocol.md.

    `retryable`: asking again may help. `retry_after`: seconds the upstream asked to wait, or None.
    """

    def __init__(
        self, code: str, message: str, *, retryable: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after

    def saying(self, message: str) -> UpstreamError:
        """The same in other words."""
        return UpstreamError(self.code, message, retryable=self.retryable, retry_after=self.retry_after)


class SettingsError(DeltahubError):
    """The settings contradict each other or the machine; the text says which to change."""
