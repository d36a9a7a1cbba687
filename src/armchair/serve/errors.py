"""Errors as OpenAI's API words them: {"error": {message, type, param, code}}, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ApiError(Exception):
    """A reply that is not a success.

    retry_after: seconds, 1 to 60 (the range that every client honours).  retry: what `x-should-retry` says,
    None leaves it to the client's own rule (408, 409, 429 and 5xx are tried again).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        retry: bool | None = None,
    ):
        super().__init__(message)
        self.status, self.message = status, message
        self.type, self.param, self.code = type, param, code
        self.retry_after, self.retry = retry_after, retry

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.retry_after is not None:
            seconds = min(60, max(1, round(self.retry_after)))
            found |= {"retry-after": str(seconds), "retry-after-ms": str(seconds * 1000)}
        if self.retry is not None:
            found["x-should-retry"] = "true" if self.retry else "false"
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found


def bad(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def not_one_of(value: object, options: Sequence[str], name: str) -> ApiError:
    listed = ", ".join(repr(option) for option in options)
    return bad(f"{_shown(value)} is not one of [{listed}] - '{name}'")


def wrong_type(value: object, wanted: str, name: str) -> ApiError:
    return bad(f"{_shown(value)} is not of type '{wanted}' - '{name}'")


def too_large(value: float, most: float, name: str) -> ApiError:
    return bad(f"{value} is greater than the maximum of {most} - '{name}'")


def too_small(value: float, least: float, name: str) -> ApiError:
    return bad(f"{value} is less than the minimum of {least} - '{name}'")


def too_long(length: int, most: int, name: str) -> ApiError:
    """Without the text itself, which OpenAI's API repeats."""
    return bad(f"A text of {length} characters is too long (at most {most}) - '{name}'", param=name)


def missing(name: str) -> ApiError:
    return bad(f"'{name}' is a required property", param=name)


def unknown_parameter(name: str) -> ApiError:
    return bad(f"Unknown parameter: '{name[:100]}'.", param=name[:100], code="unknown_parameter")


def not_json(reason: str = "") -> ApiError:
    return bad(
        "We could not parse the JSON body of your request. The body must be one JSON object, encoded as UTF-8"
        + (f": {reason}" if reason else ".")
    )


def no_model(name: str) -> ApiError:
    return ApiError(404, f"The model `{name[:200]}` does not exist.", param="model", code="model_not_found")


def wrong_model(name: str) -> ApiError:
    return bad(f"Invalid model {name[:200]}. The model argument should be left blank.")


def not_png() -> ApiError:
    return bad("Uploaded image must be a PNG and less than 4 MB.")


def broken_image() -> ApiError:
    return bad("Your image was invalid.", code="invalid_image")


def refused_by_policy(gpt: bool) -> ApiError:
    """A prompt that the operator's policy does not admit."""
    text = (
        "Your request was rejected as a result of our safety system. "
        "Your prompt may contain text that is not allowed by our safety system."
    )
    if gpt:
        return ApiError(400, text, type="image_generation_user_error", code="moderation_blocked")
    return bad(text, code="content_policy_violation")


def too_big(most: int) -> ApiError:
    return ApiError(413, f"The body is larger than the {most} bytes that are read here.")


def too_slow() -> ApiError:
    return ApiError(408, "The request did not arrive in time.", retry=False)


def head_too_large() -> ApiError:
    return ApiError(431, "The request's head is too large.")


def no_key() -> ApiError:
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(shown: str) -> ApiError:
    return ApiError(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def forbidden(message: str) -> ApiError:
    return ApiError(403, message)


def no_url(method: str, path: str) -> ApiError:
    return ApiError(404, f"Invalid URL ({method} {path[:200]})")


def wrong_method(allowed: Sequence[str]) -> ApiError:
    return ApiError(405, f"Only {' and '.join(allowed)} requests are accepted.", code="method_not_supported")


def overloaded(seconds: float) -> ApiError:
    """The server has too much to do: nothing that the caller did."""
    return ApiError(
        503,
        "The engine is currently overloaded, please try again later",
        type="server_error",
        retry_after=seconds,
    )


def rate_limited(what: str, limit: str, current: str, seconds: float) -> ApiError:
    """One key asks for more than its share."""
    return ApiError(
        429,
        f"Rate limit exceeded for {what}. Limit: {limit}. Current: {current}. Please try again in "
        f"{max(1, round(seconds))}s.",
        type="requests",
        code="rate_limit_exceeded",
        retry_after=seconds,
    )


def fault(retry: bool | None = None) -> ApiError:
    return ApiError(
        500, "The server had an error while processing your request", type="server_error", retry=retry
    )


def out_of_memory() -> ApiError:
    return ApiError(
        500,
        "The device ran out of memory for this request, drawn alone. Ask for a smaller size.",
        type="server_error",
        code="out_of_memory",
        retry=False,
    )


def unsupported(message: str) -> ApiError:
    """No bundle here can do it: the remedy is another bundle, not another try."""
    return bad(message, param="model", code="unsupported_operation")


def _shown(value: object) -> str:
    """A caller's value inside a message, cut short."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
