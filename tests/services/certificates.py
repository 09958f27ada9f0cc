"""Certificates of a test's own, made by the `openssl` command."""

import ssl
import subprocess
from pathlib import Path


class Certificate:
    """A self-signed certificate for some names, and the contexts of both sides."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._key, self._certificate = folder / f"{names[0]}.key", folder / f"{names[0]}.pem"
        wanted = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]
        command += ["-nodes", "-days", "2", "-subj", f"/CN={names[0]}"]
        command += ["-addext", f"subjectAltName={wanted}"]
        command += ["-keyout", str(self._key), "-out", str(self._certificate)]
        subprocess.run(command, check=True, capture_output=True)

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate, self._key)
        return context

    def trusting(self) -> ssl.SSLContext:
        """A client that trusts this certificate alone."""
        return ssl.create_default_context(cafile=str(self._certificate))
