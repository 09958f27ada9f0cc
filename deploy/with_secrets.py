#!/usr/local/bin/python3 -I
"""`with-secrets COMMAND…` runs a command with the secrets that are mounted as files.

`NAME_FILE=/run/secrets/x` becomes `NAME` with the file's content. `NAME_PASSWORD_FILE` beside a
`NAME_URL` becomes that URL's password instead. An empty or missing file says nothing, so that an
optional secret may be left empty. The environment of the container itself, which `docker inspect`
shows, never holds a secret.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

_FILE = "_FILE"
_PASSWORD = "_PASSWORD"  # noqa: S105 - the end of a variable's name


def with_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the contents of the files that it names.

    Raises:
        OSError: A file exists and cannot be read.
    """
    told = {name: value for name, value in environment.items() if not _names_a_file(name, value)}
    for name, path in environment.items() - told.items():
        secret = _content(Path(path))
        if secret:
            variable, value = _told(name.removesuffix(_FILE), secret, environment)
            told[variable] = value
    return told


def _names_a_file(name: str, value: str) -> bool:
    return name.endswith(_FILE) and value.startswith("/run/secrets/")


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except FileNotFoundError:
        return ""


def _told(name: str, secret: str, environment: Mapping[str, str]) -> tuple[str, str]:
    url = f"{name.removesuffix(_PASSWORD)}_URL"
    if name.endswith(_PASSWORD) and url in environment:
        return url, _url_with(environment[url], secret)
    return name, secret


def _url_with(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


def main(command: list[str]) -> None:
    """Become the command."""
    if not command:
        sys.exit("with-secrets: name the command to run, such as `with-secrets muster runs list`.")
    try:
        environment = with_secrets(os.environ)
        os.execvpe(command[0], command, environment)  # noqa: S606 - it is its whole purpose
    except OSError as error:
        sys.exit(f"with-secrets: {error.filename or command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
