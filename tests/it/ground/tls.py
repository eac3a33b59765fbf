"""https in front of a plain server: haproxy, with certificates good and bad."""

from __future__ import annotations

import ssl
from pathlib import Path

from .host import Daemon, free_ports, run

GOOD, EXPIRED, WRONG_NAME, UNTRUSTED = "good", "expired", "wrong-name", "untrusted"
AWS = "aws"

_CA_CONF = """\
[ca]
default_ca = test
[test]
database = {dir}/index
serial = {dir}/serial
new_certs_dir = {dir}
certificate = {dir}/{ca}.pem
private_key = {dir}/{ca}.key
default_md = sha256
policy = policy
x509_extensions = extensions
unique_subject = no
[policy]
commonName = supplied
[extensions]
subjectAltName = {names}
extendedKeyUsage = serverAuth,clientAuth
basicConstraints = CA:FALSE
"""


class Authority:
    """A certificate authority, another one that nobody trusts, and leaves."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)
        self.home = home
        self._make_ca("ca")
        self._make_ca("other")
        (home / "index").touch()
        (home / "serial").write_text("01\n", encoding="ascii")
        names = "DNS:localhost,DNS:*.localhost,IP:127.0.0.1"
        self._make_leaf(GOOD, "ca", names, "20200101000000Z", "20990101000000Z")
        self._make_leaf(EXPIRED, "ca", names, "20200101000000Z", "20210101000000Z")
        self._make_leaf(
            WRONG_NAME,
            "ca",
            "DNS:elsewhere.example",
            "20200101000000Z",
            "20990101000000Z",
        )
        self._make_leaf(
            AWS,
            "ca",
            "DNS:s3.us-east-1.amazonaws.com,DNS:*.s3.us-east-1.amazonaws.com,"
            "DNS:s3.eu-central-1.amazonaws.com,DNS:*.s3.eu-central-1.amazonaws.com",
            "20200101000000Z",
            "20990101000000Z",
        )
        self._make_leaf(UNTRUSTED, "other", names, "20200101000000Z", "20990101000000Z")

    @property
    def ca_file(self) -> Path:
        """What a client has to trust."""
        return self.home / "ca.pem"

    def chain(self, name: str) -> Path:
        return self.home / f"{name}-chain.pem"

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def server_context(self, name: str = GOOD) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.chain(name))
        return made

    def _key(self, name: str) -> list[str]:
        return [
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(self.home / f"{name}.key"), "-subj", f"/CN={name}"),
        ]

    def _make_ca(self, name: str) -> None:
        run(
            [
                *("openssl", "req", "-x509", *self._key(name)),
                *("-out", self.home / f"{name}.pem", "-days", "3650"),
                *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            ]
        ).check()

    def _make_leaf(self, name: str, ca: str, names: str, start: str, end: str) -> None:
        conf = self.home / f"{name}.cnf"
        conf.write_text(
            _CA_CONF.format(dir=self.home, ca=ca, names=names), encoding="ascii"
        )
        request = self.home / f"{name}.csr"
        leaf = self.home / f"{name}.pem"
        run(["openssl", "req", *self._key(name), "-out", request]).check()
        run(
            [
                *("openssl", "ca", "-batch", "-notext", "-config", conf),
                *("-in", request, "-out", leaf),
                *("-startdate", start, "-enddate", end),
            ]
        ).check()
        key = self.home / f"{name}.key"
        self.chain(name).write_bytes(leaf.read_bytes() + key.read_bytes())


class TlsProxy:
    """https on a port of its own, to a plain http port.

    clients: only for those with a certificate of the authority.
    """

    def __init__(
        self,
        home: Path,
        authority: Authority,
        upstream_port: int,
        certificate: str = GOOD,
        *,
        versions: str = "ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.3",
        clients: bool = False,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.port = free_ports()
        verify = f"ca-file {authority.ca_file} verify required" if clients else ""
        conf = home / "haproxy.cfg"
        conf.write_text(
            "global\n"
            "  maxconn 500\n"
            "defaults\n"
            "  mode http\n"
            "  timeout connect 5s\n"
            "  timeout client 60s\n"
            "  timeout server 60s\n"
            "  option http-keep-alive\n"
            "frontend f\n"
            f"  bind 127.0.0.1:{self.port} ssl crt {authority.chain(certificate)} "
            f"{versions} alpn http/1.1 {verify}\n"
            "  default_backend b\n"
            "backend b\n"
            f"  server s 127.0.0.1:{upstream_port}\n",
            encoding="ascii",
        )
        self._daemon = Daemon(
            ["haproxy", "-db", "-f", conf], home / f"tls-{certificate}.log"
        )
        self._daemon.wait_port(self.port)

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.port}"

    def stop(self) -> None:
        self._daemon.stop()
