"""A campaign's certificates: who holds its key may talk to its schedulers and workers.

A Dask port runs what it is sent, and on a cluster everybody can reach every port. So each campaign
has a certification authority of its own, whose key is forgotten once it has signed the one
certificate that schedulers, workers and clients show each other. The key of that certificate lies
in ``tls/`` of the campaign folder, where only its owner can read it.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import ipaddress
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError
from osong_workflows.folder import sync_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import CertificateBuilder, KeyUsage
    from distributed import Security

__all__ = [
    "TLS_FOLDER",
    "Certificates",
    "check_certificates",
    "ensure_certificates",
    "private_folder",
    "security",
]

TLS_FOLDER: Final = "tls"
_AUTHORITY: Final = "ca.pem"
_CERTIFICATE: Final = "cert.pem"
_KEY: Final = "key.pem"
_VALID: Final = datetime.timedelta(days=400)
_CLOCKS_DIFFER: Final = datetime.timedelta(days=1)
"""The certificates are valid for machines whose clock is so far behind."""
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077


@dataclass(frozen=True)
class Certificates:
    """Where a campaign's certificates are.

    Attributes
    ----------
    authority
        The certificate of the campaign's own authority.
    certificate, key
        What schedulers, workers and clients show and prove.
    """

    authority: Path
    certificate: Path
    key: Path

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.key.parent


def ensure_certificates(folder: Path) -> Certificates:
    """Return the certificates of a campaign; make them if there are none.

    Raises
    ------
    CampaignError
        Those that are there cannot be used or are not safe; nothing was changed.
    """
    _check_campaign(folder)
    if not os.path.lexists(folder / TLS_FOLDER):
        _make(folder)
    return check_certificates(folder)


def check_certificates(folder: Path) -> Certificates:
    """Return the certificates of a campaign after checking that nobody else can use them.

    Raises
    ------
    CampaignError
        They are missing, damaged, expired, or open to others.
    """
    _check_campaign(folder)
    place = folder / TLS_FOLDER
    certificates = Certificates(place / _AUTHORITY, place / _CERTIFICATE, place / _KEY)
    try:
        _check_owner(place, os.lstat(place), is_folder=True)
        authority, certificate, key = (
            _read(path)
            for path in (certificates.authority, certificates.certificate, certificates.key)
        )
    except OSError as error:
        raise _unusable(place, f"cannot be read ({error.strerror or error})") from error
    _check_contents(place, authority, certificate, key)
    return certificates


def private_folder(path: Path) -> Path:
    """Return a folder that only its owner, this user, may look into; make it if need be.

    Raises
    ------
    CampaignError
        What is there is something else, or cannot be made.
    """
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=_FOLDER_MODE)
        found = path.lstat()
    except OSError as error:
        raise CampaignError(f"{path}: cannot be made ({error.strerror or error})") from error
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_ours or found.st_mode & _OTHERS:
        raise CampaignError(
            f"{path}: is no folder that only user {os.geteuid()} may look into; remove {path} and "
            "run the same command again"
        )
    return path


def _check_campaign(folder: Path) -> None:
    """Refuse a campaign folder in which everybody could put another `tls` in place of this one."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        # Whoever looks for the certificates says so.
        return
    if mode & stat.S_IWOTH:
        raise CampaignError(
            f"{folder}: every user may write there (mode {stat.S_IMODE(mode):04o}), and what works "
            f"at a campaign over the network trusts its folder: chmod o-w {folder}"
        )


def security(certificates: Certificates) -> Security:
    """Return what makes Dask talk over TLS 1.3 alone, both sides proving who they are."""
    import ssl

    from distributed import Security

    ours = {"cert": str(certificates.certificate), "key": str(certificates.key)}
    roles = {
        f"tls_{role}_{what}": path
        for role in ("scheduler", "worker", "client")
        for what, path in ours.items()
    }
    return Security(
        require_encryption=True,
        tls_ca_file=str(certificates.authority),
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        tls_max_version=None,
        tls_ciphers=None,
        **roles,
    )


def _unusable(place: Path, what: str) -> CampaignError:
    """Return the error that all faults of certificates lead to."""
    return CampaignError(
        f"{place}: {what}; remove {place} and run the same command again: new certificates are made"
    )


def _check_owner(path: Path, found: os.stat_result, *, is_folder: bool) -> None:
    """Refuse what is not ours alone."""
    place = path if is_folder else path.parent
    name = "" if is_folder else f"{path.name} "
    is_right_kind = stat.S_ISDIR(found.st_mode) if is_folder else stat.S_ISREG(found.st_mode)
    if not is_right_kind:
        raise _unusable(place, f"{name}is no {'folder' if is_folder else 'file'}")
    if found.st_uid != os.geteuid():
        raise _unusable(
            place, f"{name}belongs to user {found.st_uid}, and this is user {os.geteuid()}"
        )
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise _unusable(place, f"{name}is open to other users (mode {mode:04o})")


def _read(path: Path) -> bytes:
    """Return the content of a file that must be ours alone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check_owner(path, os.fstat(descriptor), is_folder=False)
        return file.read()


def _check_contents(place: Path, authority_pem: bytes, leaf_pem: bytes, key_pem: bytes) -> None:
    """Refuse certificates that do not belong together or are not valid now."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        authority = x509.load_pem_x509_certificate(authority_pem)
        leaf = x509.load_pem_x509_certificate(leaf_pem)
        key = load_pem_private_key(key_pem, password=None)
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise _unusable(place, "is damaged") from error
    if key.public_key() != leaf.public_key():
        raise _unusable(place, "is damaged: key and certificate do not belong together")
    now = datetime.datetime.now(datetime.UTC)
    for certificate in (authority, leaf):
        if now > certificate.not_valid_after_utc:
            when = certificate.not_valid_after_utc
            raise _unusable(place, f"the certificates expired on {when:%Y-%m-%d}")
        if now < certificate.not_valid_before_utc:
            when = certificate.not_valid_before_utc
            raise _unusable(
                place,
                f"the certificates are valid from {when:%Y-%m-%d} on, and here it is "
                f"{now:%Y-%m-%d}: set this machine's clock, or",
            )


def _make(folder: Path) -> None:
    """Make certificates that appear whole; those of another process that was faster stay."""
    contents = _new_certificates()
    making = None
    try:
        # Mode 0700 from its first moment, whatever the umask: nobody else sees what comes into it.
        making = Path(tempfile.mkdtemp(prefix=f".{TLS_FOLDER}-", dir=folder))
        making.chmod(_FOLDER_MODE)
        for name, content in contents.items():
            _write(making / name, content)
        sync_folder(making)
        making.rename(folder / TLS_FOLDER)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise CampaignError(
                f"{folder}: the campaign's certificates cannot be written "
                f"({error.strerror or error}); make room or check the folder's permissions"
            ) from error
    finally:
        if making is not None:
            shutil.rmtree(making, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    """Write a file that is nobody else's at any moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        # The umask may have taken bits of our own away.
        os.fchmod(descriptor, _FILE_MODE)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _new_certificates() -> dict[str, bytes]:
    """Return the files of a new authority, whose key ends here, and of one certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    of_authority = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _certificate("Osong campaign authority", "Osong campaign authority", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(of_authority, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    roles = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = (
        _certificate("Osong campaign", "Osong campaign authority", key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(roles), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_authority),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        _AUTHORITY: authority.public_bytes(Encoding.PEM),
        _CERTIFICATE: leaf.public_bytes(Encoding.PEM),
        _KEY: secret,
    }


def _certificate(subject: str, issuer: str, key: EllipticCurvePrivateKey) -> CertificateBuilder:
    """Return a certificate that is still to be signed."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
    )


def _key_usage(*, signs_certificates: bool) -> KeyUsage:
    """Return what a key may be used for: to sign certificates, or to prove who one is."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
