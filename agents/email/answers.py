"""What a mail server's answers mean, before and after DATA."""

from __future__ import annotations

import base64
import re
import ssl
from typing import Final

from aiosmtplib import SMTPResponse, SMTPResponseException

from agents.email.smtp_url import SmtpServer
from envelope.errors import EffectUnknown, MusterError, NotSent, Refused

_LONGEST: Final = 200
_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")
_YES: Final = range(200, 300)
_NOT_NOW: Final = range(400, 500)
_NO: Final = range(500, 600)


class Answers:
    """Names a server's answers for what happens next.

    Args:
        server: Who answers. Its password is masked in whatever it says.
    """

    def __init__(self, server: SmtpServer) -> None:
        self._where = f"{server.host}:{server.port}"
        self._secrets = _spellings(server)

    def words(self, answer: SMTPResponse) -> str:
        """Return an answer as one short line of ASCII."""
        text = f"{answer.code} {answer.message}"
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _NOT_PRINTABLE.sub(" ", text).strip()[:_LONGEST]

    @staticmethod
    def is_yes(answer: SMTPResponse) -> bool:
        """Whether the server agrees."""
        return answer.code in _YES

    def no_before_data(self, answer: SMTPResponse, what: str) -> MusterError:
        """Make the error of a no before DATA: for good, or for now, as greylisting says it."""
        words = f"The mail server {self._where} refused {what}: {self.words(answer)}"
        return Refused(words) if answer.code in _NO else NotSent(words)

    def no_after_data(self, answer: SMTPResponse, key: str) -> MusterError:
        """Make the error of a no after DATA, which is final: no key sees a second DATA."""
        if answer.code in _NO or answer.code in _NOT_NOW:
            words = self.words(answer)
            return Refused(
                f"The mail server {self._where} refused the message: {words}", spent=True
            )
        return self.unknown(key, f"answered {self.words(answer)}")

    def unknown(self, key: str, what: str) -> EffectUnknown:
        """Make the error of a message that may or may not have been taken."""
        return EffectUnknown(
            f"E-mail {key!r}: after DATA the mail server {self._where} {what}, so nobody knows "
            "whether it took it. It is not sent again."
        )

    def failed_before_data(self, problem: Exception) -> MusterError:
        """Make the error of a dialogue that broke before DATA: nothing was sent."""
        if isinstance(problem, SMTPResponseException):
            answer = SMTPResponse(problem.code, problem.message)
            return self.no_before_data(answer, "the connection or the login")
        certificate = _certificate_error(problem)
        if certificate is not None:
            reason = certificate.verify_message
            return Refused(f"The certificate of the mail server {self._where} is wrong: {reason}.")
        if isinstance(problem, TimeoutError):
            return NotSent(f"The mail server {self._where} did not answer in time.")
        if isinstance(problem, OSError):
            name = type(problem).__name__
            return NotSent(f"The mail server {self._where} cannot be reached ({name}).")
        return Refused(f"The mail server {self._where} cannot do what its URL asks for: {problem}")


def _spellings(server: SmtpServer) -> tuple[str, ...]:
    """Return the password as it is, and as it crosses the wire (RFC 4616, AUTH LOGIN)."""
    if not server.password:
        return ()
    on_the_wire = (f"\0{server.user}\0{server.password}", server.password)
    return (server.password, *(base64.b64encode(text.encode()).decode() for text in on_the_wire))


def _certificate_error(problem: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while problem is not None and not isinstance(problem, ssl.SSLCertVerificationError):
        problem = problem.__cause__ or problem.__context__
    return problem
