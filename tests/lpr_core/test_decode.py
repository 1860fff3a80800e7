import io
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from lpr_core.decode import DecodeError, DecodeLimits, DecodeReason, decode


def picture() -> Image.Image:
    """24×16 pixels, black, with a white quarter at the top left."""
    pixels = np.zeros((16, 24), np.uint8)
    pixels[:8, :12] = 255
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def quarters(pixels: np.ndarray) -> list[int]:
    """Mean brightness of the top left, top right, bottom left and bottom right quarter."""
    half = pixels.shape[0] // 2, pixels.shape[1] // 2
    rows, columns = (
        (slice(0, half[0]), slice(half[0], None)),
        (slice(0, half[1]), slice(half[1], None)),
    )
    return [round(float(pixels[r, c].mean())) for r in rows for c in columns]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_formats_decode_to_grey_pixels(kind):
    decoded = decode(encoded(picture(), kind))
    assert decoded.format == kind
    assert (decoded.pixels.dtype, decoded.pixels.shape) == (np.uint8, (16, 24))
    assert (decoded.width, decoded.height, decoded.orientation) == (24, 16, 1)
    assert quarters(decoded.pixels) == pytest.approx([255, 0, 0, 0], abs=2)


@pytest.mark.parametrize(
    ("orientation", "white"),
    # Where the stored top left quarter shows when the viewer obeys EXIF (TIFF 6.0, tag 274): the
    # stored first row is the visual top/bottom/left/right, the first column likewise.
    [(1, 0), (2, 1), (3, 3), (4, 2), (5, 0), (6, 1), (7, 3), (8, 2)],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_undone(kind, orientation, white):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    decoded = decode(encoded(picture(), kind, exif=exif))
    expected = [0, 0, 0, 0]
    expected[white] = 255
    assert quarters(decoded.pixels) == pytest.approx(expected, abs=4)
    assert decoded.orientation == orientation
    assert (decoded.width, decoded.height) == ((24, 16) if orientation < 5 else (16, 24))


def test_capture_time_comes_from_exif():
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:17 08:09:10"
    assert decode(encoded(picture(), "JPEG", exif=exif)).captured_at == datetime(
        2024, 5, 17, 8, 9, 10
    )


@pytest.mark.parametrize("written", ["0000:00:00 00:00:00", "yesterday", ""])
def test_an_impossible_capture_time_is_no_capture_time(written):
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = written
    assert decode(encoded(picture(), "JPEG", exif=exif)).captured_at is None


@pytest.mark.parametrize("seed", range(40))
def test_damaged_exif_costs_no_picture(seed):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    exif[ExifTags.Base.Make] = "maker"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:17 08:09:10"
    data = bytearray(encoded(picture(), "JPEG", exif=exif))
    start = data.index(b"Exif\0\0") + 6
    draw = np.random.default_rng(seed)
    for place in draw.integers(start, start + 60, 12):
        data[place] = draw.integers(256)
    pixels = decode(bytes(data)).pixels
    assert sorted(quarters(pixels)) == pytest.approx([0, 0, 0, 255], abs=4)


def test_cmyk_is_converted():
    assert quarters(decode(encoded(picture().convert("CMYK"), "JPEG")).pixels) == pytest.approx(
        [255, 0, 0, 0], abs=4
    )


def test_sixteen_bits_are_scaled_to_eight():
    ramp = np.array([[0, 257 * 64, 257 * 128, 65535]], np.uint16)
    assert decode(encoded(Image.fromarray(ramp))).pixels.tolist() == [[0, 64, 128, 255]]


def test_shares_of_white_are_scaled_to_eight_bits():
    ramp = np.array([[0, 0.25, 0.5, 1]], np.float32)
    assert decode(encoded(Image.fromarray(ramp), "TIFF")).pixels.tolist() == [[0, 63, 127, 255]]


def test_a_palette_is_resolved():
    assert quarters(decode(encoded(picture().convert("P"))).pixels) == [255, 0, 0, 0]


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    pixels = decode(encoded(image)).pixels
    assert pixels[0, 0] == 0 and pixels[3, 3] == 255


@pytest.mark.parametrize("kind", ["sixteen bits", "transparent", "transparent grey"])
def test_tall_pictures_are_converted_in_strips_to_the_same(kind):
    """600 rows, black to white downwards; every other column is transparent where any is."""
    ramp = np.linspace(0, 255, 600).astype(np.uint8)[:, None].repeat(8, axis=1)
    grey, alpha = Image.fromarray(ramp), np.full_like(ramp, 255)
    alpha[:, ::2] = 0
    expected = ramp.copy()
    if kind == "sixteen bits":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    else:
        expected[:, ::2] = 255
        image = Image.merge("LA", [grey, Image.fromarray(alpha)])
        image = image if kind == "transparent grey" else image.convert("RGBA")
    np.testing.assert_array_equal(decode(encoded(image)).pixels, expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory on Linux only")
@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_no_picture_takes_many_times_its_pixels(mode):
    """Of 24 megapixels, in a process of its own."""
    data = encoded(Image.new(mode, (6000, 4000)))
    # Of the process's own memory; ru_maxrss is at least that of who started it.
    code = (
        "import re, sys; from lpr_core.decode import decode; data = sys.stdin.buffer.read();"
        "peak = lambda: int(re.search('VmHWM:(.*)kB', open('/proc/self/status').read())[1]);"
        "before = peak(); decode(data); print(1024 * (peak() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, stdout=-1, check=True)
    assert int(done.stdout) < 8 * 24e6  # at once it were 25 and 16 bytes a pixel


def test_the_first_frame_of_an_animation_is_read():
    frames = [picture(), Image.new("L", (24, 16), 255)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert quarters(decode(data).pixels) == [255, 0, 0, 0]


def reason_of(data: bytes, limits: DecodeLimits | None = None) -> DecodeReason:
    with pytest.raises(DecodeError) as caught:
        decode(data, limits)
    assert str(caught.value)
    return caught.value.reason


def test_bytes_that_are_no_picture_say_why():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    jpeg, png = encoded(noise, "JPEG"), encoded(noise)
    assert reason_of(b"") is DecodeReason.EMPTY
    assert reason_of(b"not a picture at all") is DecodeReason.NOT_AN_IMAGE
    assert reason_of(jpeg[: len(jpeg) // 2]) is DecodeReason.TRUNCATED
    assert reason_of(png[: len(png) // 2]) is DecodeReason.TRUNCATED
    damaged = bytearray(jpeg)
    damaged[len(jpeg) // 3 :: 7] = b"\xff" * len(damaged[len(jpeg) // 3 :: 7])
    assert reason_of(bytes(damaged)) is DecodeReason.CORRUPT
    assert reason_of(jpeg, DecodeLimits(max_bytes=len(jpeg) - 1)) is DecodeReason.TOO_MANY_BYTES
    assert reason_of(jpeg, DecodeLimits(max_pixels=64 * 64 - 1)) is DecodeReason.TOO_MANY_PIXELS
    assert decode(jpeg, DecodeLimits(len(jpeg), 64 * 64)).width == 64


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_decompression_bomb_is_refused_before_its_pixels_are_allocated(side):
    import tracemalloc

    bomb = encoded(Image.new("1", (side, side)), "PNG")
    tracemalloc.start()
    assert reason_of(bomb) is DecodeReason.TOO_MANY_PIXELS
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("limit", [{"max_pixels": 10**9}, {"max_bytes": 2**31}])
def test_a_limit_that_could_not_be_kept_is_refused(limit):
    with pytest.raises(ValueError, match="at most"):
        DecodeLimits(**limit)


def test_postscript_is_never_run(monkeypatch):
    script = encoded(picture().convert("RGB"), "EPS")
    started = []
    monkeypatch.setattr("subprocess.check_call", lambda *args, **_: started.append(args))
    monkeypatch.setattr("PIL.EpsImagePlugin.has_ghostscript", lambda: True)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    assert reason_of(script) is DecodeReason.NOT_AN_IMAGE
    assert started == []


@pytest.mark.parametrize("step", ["getexif", "convert"])
@pytest.mark.parametrize("error", [ImportError, MemoryError])
def test_what_the_machine_lacks_is_not_laid_on_the_file(monkeypatch, error, step):
    def fail(*_: object) -> None:
        raise error

    data = encoded(picture().convert("RGB"), "BMP")
    monkeypatch.setattr(Image.Image, step, fail)
    with pytest.raises(error):
        decode(data)


def test_a_decode_error_survives_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(DecodeError(DecodeReason.EMPTY, "the file is empty")))
    assert (error.reason, str(error)) == (DecodeReason.EMPTY, "the file is empty")
