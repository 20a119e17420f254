"""One image file's pixels, as a viewer shows them.

The orientation of a photograph is applied, transparent pixels lie over white, a palette stands for its colours, 16
bits are scaled to 8, CMYK becomes RGB. Colour profiles are not applied.
"""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
from PIL import ExifTags, Image

from rivalry.errors import RivalryError
from rivalry.types import height_and_width

MAX_PIXELS = 4096 * 4096
"""Bound on one image, as it is stored and as it is asked for."""

SIGNATURES = {
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*",
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(hei|hev|mif1|msf1)",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "PDF": rb"%PDF",
    "text": rb"\s*(<\?xml|<svg|<!doctype|<html)",
    "a Git LFS pointer": rb"version https://git-lfs",
}
"""How files of other kinds begin that are often given an image's name."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH = 24
"""Where a PNG says how many bits a channel has."""
WITHOUT_PIXELS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Parts of a PNG that Pillow unpacks, refusing those beyond a size, though no pixel depends on them."""


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to set an image upright, by its EXIF orientation."""


def decode(where: str, content: bytes, size: int | list[int] | None, channels: int | None) -> np.ndarray:
    """One PNG or JPEG image, uint8 (C,H,W); C is 1 if it is stored in gray, else 3, unless `channels` says which.

    Parameters
    ----------
    where
        The file's name for messages.
    content
        The whole file.
    size
        Resize to this many pixels square, or to [height, width]; None: leave as it is.

    Raises
    ------
    RivalryError
        No PNG or JPEG, an animation, too many pixels, a broken image; the line begins with `where`.
    """
    if not content:
        raise RivalryError(f"{where} is empty; replace or remove it")
    _refuse_other_kinds(where, content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of much used oddities is nothing a user can mend
            with Image.open(io.BytesIO(_without_texts(content)), formats=["PNG", "JPEG"]) as image:
                refuse_bombs(where, *image.size)
                # A photograph with a preview or a depth map beside it (MPO) is no animation.
                if image.format == "PNG" and getattr(image, "is_animated", False):
                    raise RivalryError(f"{where} is an animation; save the frame that you mean as one image")
                image.load()
                picture = _opaque(image, content[PNG_DEPTH])
                turn = TURNS.get(_orientation(image))
        if turn is not None:
            picture = picture.transpose(turn)
        if channels is not None:
            picture = picture.convert({1: "L", 3: "RGB"}[channels])
        if size is not None:
            height, width = height_and_width(size)
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)
    except RivalryError:
        raise
    except Image.DecompressionBombError as error:
        raise RivalryError(f"{where} has too many pixels; at most {MAX_PIXELS} are read") from error
    except Exception as error:  # a damaged file may raise anything in a decoder
        raise RivalryError(f"{where} is a broken image; replace or remove it") from error


def refuse_bombs(where: str, width: int, height: int) -> None:
    """Refuse an image whose pixels should not be unpacked."""
    if width * height > MAX_PIXELS:
        raise RivalryError(f"{where} has {width}x{height} pixels; at most {MAX_PIXELS} are read")


def _refuse_other_kinds(where: str, content: bytes) -> None:
    meant = "PNG" if where.lower().endswith(".png") else "JPEG"
    for kind, signature in SIGNATURES.items():
        if re.match(signature, content[:512], re.DOTALL | re.IGNORECASE if kind == "text" else re.DOTALL):
            raise RivalryError(f"{where} is {kind}, not {meant}; convert it to PNG or JPEG, or remove it")


def _without_texts(content: bytes) -> bytes:
    """A PNG without texts and profiles; anything else, and what is damaged, as it is."""
    if not content.startswith(PNG_SIGNATURE):
        return content
    kept, start = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")  # length, name, data, checksum
        if content[start + 4 : start + 8] not in WITHOUT_PIXELS:
            kept.append(content[start:end])
        start = end
    return b"".join(kept)


def _opaque(image: Image.Image, depth: int) -> Image.Image:
    """The image in mode L or RGB; what shines through is white.

    `depth` is how many bits a PNG has in each channel; its transparent shade or colour is told in these.
    """
    gray = "L" if image.mode in ("1", "L", "LA") else "RGB"
    clear = image.info.get("transparency")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        shades = (values + 128) // 257  # 65535 is 255
        if clear is not None:
            shades[values == clear] = 255
        return Image.fromarray(shades.astype(np.uint8))
    if clear is not None and image.mode in ("1", "L", "RGB"):
        pixels = np.atleast_3d(np.asarray(image.convert(gray)).copy())
        scaled = np.array(clear) >> 8 if depth == 16 else np.array(clear) * 255 // (2**depth - 1)
        pixels[(pixels == scaled).all(axis=2)] = 255
        return Image.fromarray(pixels.squeeze(2) if gray == "L" else pixels)
    if "A" in image.getbands() or clear is not None:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        return canvas.convert(gray)
    return image.convert(gray)


def _orientation(image: Image.Image) -> int:
    """What EXIF says of an image that is loaded; 1, upright, where it is absent or damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as for any damaged file; its pixels are whole
        return 1
