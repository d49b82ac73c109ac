"""The errors: what they carry, and that it survives a copy and another process."""

from __future__ import annotations

import copy
import pickle

import pytest

from scepkit import errors
from scepkit.errors import FailInfo, ScepError

ERRORS: list[ScepError] = [
    ScepError("m", hint="h"),
    errors.InputError("m", hint="h"),
    errors.KeyLoadError("m", path="p", reason="missing", hint="h"),
    errors.TransportError("m", url="u", kind="dns", retry_after=5.0, hint="h"),
    errors.HttpStatusError("m", status=503, url="u", excerpt="e", retry_after=5.0, hint="h"),
    errors.TrustError("m", fingerprints=("f",), hint="h"),
    errors.ProtocolError("m", fail_info=FailInfo.BAD_TIME, hint="h"),
    errors.DecodeError("m", offset=5, title="t", fail_info=FailInfo.BAD_TIME, hint="h"),
    errors.AlgorithmError("m", algorithm="md5", hint="h"),
    errors.SignatureError("m", signer="s", hint="h"),
    errors.DecryptError("m", hint="h"),
    errors.ReplyMismatchError("m", field="f", expected="e", found=None, hint="h"),
    errors.RequestRejectedError(
        "m", fail_info=12, fail_info_text="t", transaction_id="id", hint="h"
    ),
    errors.NotSupportedError("m", operation="GetCRL", hint="h"),
    errors.KeyUnavailable("m", hint="h"),
    errors.ConfigError("m", hint="h"),
    errors.ConfigErrors((errors.ConfigError("m", hint="h"),)),
    errors.StoreError("m", hint="h"),
    errors.StoreUnavailable("m", hint="h"),
]
each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@each_error
def test_error_survives_a_copy_and_another_process(error: ScepError) -> None:
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(again) is type(error)
        assert again.args == error.args
        # By their text, because an error within is equal to itself only.
        assert repr(vars(again)) == repr(vars(error))
        assert str(again) == "m"


def test_there_is_an_example_of_every_error() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert {type(error) for error in ERRORS} == {one for one in kinds if issubclass(one, ScepError)}


@each_error
def test_error_has_a_hint(error: ScepError) -> None:
    assert error.hint == "h"


def test_input_error_is_a_value_error() -> None:
    assert issubclass(errors.InputError, ValueError)


@pytest.mark.parametrize(
    ("kind", "fail_info"),
    [
        (errors.ProtocolError, FailInfo.BAD_REQUEST),
        (errors.DecodeError, FailInfo.BAD_REQUEST),
        (errors.SignatureError, FailInfo.BAD_MESSAGE_CHECK),
        (errors.DecryptError, FailInfo.BAD_MESSAGE_CHECK),
    ],
)
def test_protocol_error_says_what_a_server_answers(
    kind: type[errors.ProtocolError], fail_info: FailInfo
) -> None:
    assert kind("m").fail_info is fail_info
    assert errors.AlgorithmError("m", algorithm="x").fail_info is FailInfo.BAD_ALG


def test_fail_info_has_the_names_of_the_rfc() -> None:
    assert [one.rfc_name for one in FailInfo] == [
        *("badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId")
    ]
