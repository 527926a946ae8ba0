"""The picture formats that can be read."""

from __future__ import annotations

from functools import cache

from PIL import Image, features

# Pillow hands the first two to outside programs (Ghostscript; the Windows renderer), knows the
# others only by their first bytes, and decodes none of them by itself.
REFUSED = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
_REFUSED_SUFFIXES = (
    ".eps", ".ps", ".wmf", ".emf", ".bufr", ".grib", ".h5", ".hdf", ".mpg", ".mpeg", ".pdf", ".svg",
)  # fmt: skip
_HEIF_SUFFIXES = (".heic", ".heif", ".hif", ".heics", ".heifs")
_LIBRARIES = ("jpg", "jpg_2000", "webp", "libtiff", "littlecms2", "avif", "zlib")
_MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*",
    b"\0\0\0\x0cjP  ", b"qoif",
)  # fmt: skip


@cache
def readable() -> tuple[str, ...]:
    """The formats that can be decoded without another program; HEIC if pillow-heif is installed."""
    heif_version()
    Image.init()
    return tuple(sorted(set(Image.OPEN) - REFUSED))


@cache
def suffixes() -> frozenset[str]:
    """The lower-case suffixes of these formats, such as ".jpg", ".jfif" and ".webp"."""
    known = set(readable())
    return frozenset(s for s, form in Image.registered_extensions().items() if form in known)


@cache
def heif_version() -> str:
    """The version of pillow-heif, which is registered with Pillow; "" if it is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return ""
    pillow_heif.register_heif_opener()
    return str(pillow_heif.__version__)


@cache
def decoder_versions() -> str:
    """The versions of all libraries that decide a decoded byte, as one text."""
    from PIL import __version__

    own = [f"{name} {features.version(name)}" for name in _LIBRARIES]
    return " ".join([f"Pillow {__version__}", *own, f"heif {heif_version()}"])


def why_not(suffix: str) -> str:
    """Why a file with this lower-case suffix is not read as a picture, such as " (needs …)".

    Empty for a suffix that is no picture format.
    """
    if suffix in _HEIF_SUFFIXES:
        return " (needs the Python package pillow-heif)"
    if suffix in (".eps", ".ps"):
        return " (Pillow would run Ghostscript on it)"
    return " (not a format that is decoded here)" if suffix in _REFUSED_SUFFIXES else ""


def begins_like_a_picture(head: bytes) -> bool:
    """Whether the first 16 bytes of a file without a suffix are those of a picture."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"heic", b"heix", b"mif1"):
        return True
    return head.startswith(_MAGIC)
