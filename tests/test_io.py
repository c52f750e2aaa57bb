"""Picture files in the wild: odd but valid files give the expected pixels, broken ones one line of explanation."""

import io as streams
import os
import struct
import time
import zlib

import numpy as np
import png
import pytest
import tifffile
from PIL import Image as pillow
from PIL import ImageCms

from jaxart import io, memory
from jaxart.io import ImageError

LOSSLESS = (".png", ".webp", ".tif", ".tiff")
STORED = {  # how a camera lays down an upright picture under each EXIF orientation
    1: lambda up: up,
    2: lambda up: up[:, ::-1],
    3: lambda up: up[::-1, ::-1],
    4: lambda up: up[::-1],
    5: lambda up: up.swapaxes(0, 1),
    6: lambda up: np.rot90(up, 1),
    7: lambda up: up[::-1, ::-1].swapaxes(0, 1),
    8: lambda up: np.rot90(up, -1),
}


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (6, 9, 3), np.uint8)


@pytest.fixture
def deep():
    """16-bit RGBA with more than 256 levels and no pixel like another, [20, 30, 4]."""
    values = np.arange(20 * 30 * 4).reshape(20, 30, 4) * 27
    return values.astype(np.uint16)


def blocks(height=3, width=4):
    """A picture of flat 16 x 16 blocks, which JPEG keeps nearly exactly."""
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8).repeat(16, 0).repeat(16, 1)


def saved(path, pixels, mode=None, **options):
    image = pillow.fromarray(np.ascontiguousarray(pixels))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def exif(orientation):
    tags = pillow.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def deep_png(path, pixels, *, orientation=None, profile=None, transparent=None):
    """Write a 16-bit PNG, [H, W, C], with chunks that pypng does not write."""
    height, width, channels = pixels.shape
    stream = streams.BytesIO()
    facts = {"greyscale": channels <= 2, "alpha": channels in (2, 4), "bitdepth": 16, "transparent": transparent}
    png.Writer(width, height, **facts).write(stream, pixels.reshape(height, -1).tolist())
    data, extra = stream.getvalue(), b""
    if profile:
        extra += chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))
    if orientation:
        extra += chunk(b"eXIf", exif(orientation).removeprefix(b"Exif\0\0"))
    path.write_bytes(data[:33] + extra + data[33:])
    return path


def deep_tiff(path, pixels, *, orientation=None, profile=None, **options):
    tags = [(274, "H", 1, orientation, True)] if orientation else []
    photometric = "minisblack" if pixels.ndim == 2 else "rgb"
    tifffile.imwrite(path, pixels, **{"photometric": photometric} | options, extratags=tags, iccprofile=profile)
    return path


def profile(*, linear=False, swapped=False, gray=False):
    """An ICC profile: sRGB as Pillow makes it, with a straight curve, with red and blue swapped, or for gray."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack_from(">I", data, 128)[0], 12):
        name, offset, _ = struct.unpack_from(">4sII", data, at)
        if linear and name[1:] == b"TRC":
            data[offset : offset + 16] = b"para" + struct.pack(">IHHI", 0, 0, 0, 0x10000)
        if swapped and name in (b"rXYZ", b"bXYZ"):
            data[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}[name]
        if gray and name == b"rTRC":
            data[at : at + 4], data[16:20] = b"kTRC", b"GRAY"
    return bytes(data)


def encoded(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def close(got, expected, atol=1e-6):
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("orientation", STORED)
class TestOrientation:
    @pytest.mark.parametrize("mode", ["L", "RGBA"])
    def test_of_8_bit_tiff_that_can_be_mapped(self, tmp_path, orientation, mode):
        path = saved(tmp_path / "a.tif", STORED[orientation](blocks()), mode, exif=exif(orientation))
        expected = pillow.fromarray(blocks()).convert(mode).convert("RGB")
        close(io.read(path), np.asarray(expected) / 255)

    @pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif"])
    def test_of_8_bits(self, tmp_path, orientation, extension):
        options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(extension, {})
        path = saved(tmp_path / f"a{extension}", STORED[orientation](blocks()), exif=exif(orientation), **options)
        close(io.read(path), blocks() / 255, 0.02 if extension == ".jpg" else 1e-6)

    @pytest.mark.parametrize("writer", [deep_png, deep_tiff])
    @pytest.mark.parametrize("channels", [3, 4])
    def test_of_16_bits(self, tmp_path, deep, orientation, writer, channels):
        options = {"extrasamples": "unassalpha"} if writer is deep_tiff and channels == 4 else {}
        upright = deep[..., :channels]
        path = writer(tmp_path / "a.x", STORED[orientation](upright), orientation=orientation, **options)
        picture = io.read_picture(path)
        close(picture.rgb, upright[..., :3] / 65535)
        assert (picture.alpha is None) == (channels == 3)
        if channels == 4:
            close(picture.alpha, upright[..., 3] / 65535)

    def test_of_16_bit_gray_and_float(self, tmp_path, deep, orientation):
        gray = deep[..., 0]
        stored = STORED[orientation](gray)
        paths = [
            deep_png(tmp_path / "a.png", stored[..., None], orientation=orientation),
            deep_tiff(tmp_path / "a.tif", stored, orientation=orientation),
            deep_tiff(tmp_path / "b.tif", (stored / 65535).astype(np.float32), orientation=orientation),
        ]
        for path in paths:
            close(io.read(path), np.repeat(gray[..., None] / 65535, 3, -1))


@pytest.mark.parametrize("extension", [".png", ".tif", ".webp", ".bmp"])
def test_rgb_is_exact(tmp_path, pixels, extension):
    options = {"lossless": True} if extension == ".webp" else {}
    picture = io.read_picture(saved(tmp_path / f"a{extension}", pixels, **options))
    close(picture.rgb, pixels / 255)
    assert picture.alpha is None


@pytest.mark.parametrize("extension", [".png", ".tif", ".webp"])
def test_rgba(tmp_path, rng, extension):
    rgba = rng.integers(1, 256, (6, 9, 4), np.uint8)
    options = {"lossless": True} if extension == ".webp" else {}
    path = saved(tmp_path / f"a{extension}", rgba, **options)
    color, alpha = rgba[..., :3] / 255, rgba[..., 3] / 255
    picture = io.read_picture(path)
    close(picture.rgb, color)
    close(picture.alpha, alpha)
    close(io.read(path), color * alpha[..., None] + 1 - alpha[..., None])


@pytest.mark.parametrize("extension", [".png", ".tif", ".bmp", ".gif", ".jpg"])
def test_gray(tmp_path, extension):
    options = {"quality": 100} if extension == ".jpg" else {}
    path = saved(tmp_path / f"a{extension}", blocks()[..., 0], **options)
    close(io.read(path), np.repeat(blocks()[..., :1] / 255, 3, -1), 0.01 if extension == ".jpg" else 1e-6)


def test_gray_with_alpha(tmp_path, rng):
    both = rng.integers(0, 256, (5, 6, 2), np.uint8)
    picture = io.read_picture(saved(tmp_path / "a.png", both))
    close(picture.rgb, np.repeat(both[..., :1] / 255, 3, -1))
    close(picture.alpha, both[..., 1] / 255)


@pytest.mark.parametrize("extension", [".png", ".gif"])
def test_palette_with_and_without_a_transparent_entry(tmp_path, extension):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    palette = np.array([(255, 0, 0), (0, 128, 0), (10, 20, 30)], np.uint8)
    image = pillow.fromarray(indices)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / f"solid{extension}")
    image.save(tmp_path / f"clear{extension}", transparency=1)
    solid, clear = (io.read_picture(tmp_path / f"{name}{extension}") for name in ("solid", "clear"))
    close(solid.rgb, palette[indices] / 255)
    assert solid.alpha is None
    close(clear.alpha, (indices != 1).astype(np.float32))
    close(clear.rgb[indices != 1], (palette[indices] / 255)[indices != 1])
    white = np.where((indices == 1)[..., None], 1, palette[indices] / 255)
    close(io.read(tmp_path / f"clear{extension}"), white)


def test_first_frame_of_an_animation(tmp_path, pixels):
    first, second = (pillow.fromarray(each).quantize(256) for each in (pixels, 255 - pixels))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    close(io.read(tmp_path / "a.gif"), np.asarray(first.convert("RGB")) / 255)


def test_cmyk_jpeg(tmp_path):
    path = saved(tmp_path / "a.jpg", blocks(), "CMYK", quality=100, subsampling=0)
    close(io.read(path), blocks() / 255, 0.03)


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_one_bit(tmp_path, rng, extension):
    bits = rng.random((7, 11)) > 0.5
    path = saved(tmp_path / f"a{extension}", (bits * 255).astype(np.uint8), "1")
    close(io.read(path), np.repeat(bits[..., None], 3, -1).astype(np.float32))


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".gif"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1)])
def test_thin_pictures(tmp_path, shape, extension):
    color = np.broadcast_to(np.array([9, 200, 77], np.uint8), (*shape, 3))
    close(io.read(saved(tmp_path / f"a{extension}", color)), color / 255)


def test_lab_tiff(tmp_path):
    """White, black and a middle gray have the same Lab whatever the adaptation."""
    lab = np.array([[[255, 0, 0], [0, 0, 0], [137, 0, 0]]], np.uint8)
    pillow.frombytes("LAB", (3, 1), lab.tobytes()).save(tmp_path / "a.tif")
    got = io.read(tmp_path / "a.tif")
    close(got, np.repeat(np.array([[[1.0], [0.0], [0.5]]]), 3, -1), 0.02)


class TestSixteenBits:
    def test_white_is_zero(self, tmp_path, deep):
        path = deep_tiff(tmp_path / "a.tif", deep[..., 0], photometric="miniswhite")
        close(io.read(path), np.repeat(1 - deep[..., :1] / 65535, 3, -1))

    def test_tiff_in_lzw_is_read_at_8_bits(self, tmp_path):
        """Pillow writes no 16-bit RGB, so the page is made of 9-bit codes by hand: clear, bytes, end."""
        pixels = np.arange(24, dtype="<u2").reshape(2, 4, 3) * 2500
        codes = [256, *pixels.tobytes(), 257]
        bits = "".join(f"{code:09b}" for code in codes)
        packed = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
        path = deep_tiff(tmp_path / "a.tif", np.zeros_like(pixels))
        with tifffile.TiffFile(path, mode="r+") as file:
            tags = file.pages[0].tags
            tags["Compression"].overwrite(5)
            tags["StripOffsets"].overwrite(path.stat().st_size)
            tags["StripByteCounts"].overwrite(len(packed))
        path.write_bytes(path.read_bytes() + packed)
        close(io.read(path), pixels / 65535, 1 / 255)

    def test_gray_is_linear_and_not_clipped(self, tmp_path):
        ramp = np.linspace(0, 65535, 600).round().astype(np.uint16).reshape(20, 30)
        for path in (deep_png(tmp_path / "a.png", ramp[..., None]), deep_tiff(tmp_path / "a.tif", ramp)):
            got = io.read(path)
            close(got, np.repeat(ramp[..., None] / 65535, 3, -1))
            assert len(np.unique(got)) == 600

    def test_gray_big_endian_tiff(self, tmp_path, deep):
        tifffile.imwrite(tmp_path / "a.tif", deep[..., 0], byteorder=">", photometric="minisblack")
        close(io.read(tmp_path / "a.tif"), np.repeat(deep[..., :1] / 65535, 3, -1))

    @pytest.mark.parametrize("channels", [2, 3, 4])
    def test_png_keeps_all_levels(self, tmp_path, deep, channels):
        picture = io.read_picture(deep_png(tmp_path / "a.png", deep[..., :channels]))
        color = deep[..., :3] if channels > 2 else deep[..., :1].repeat(3, -1)
        close(picture.rgb, color / 65535)
        assert len(np.unique(picture.rgb)) > 256
        if channels != 3:
            close(picture.alpha, deep[..., channels - 1] / 65535)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_png_with_a_transparent_color(self, tmp_path, deep, channels):
        color = deep[3, 4, :channels].tolist()
        path = deep_png(
            tmp_path / "a.png", deep[..., :channels], transparent=tuple(color) if channels > 1 else color[0]
        )
        expected = np.ones((20, 30), np.float32)
        expected[3, 4] = 0
        close(io.read_picture(path).alpha, expected)

    @pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"compression": "zlib", "predictor": True}])
    def test_tiff_keeps_all_levels(self, tmp_path, deep, options):
        pixels = np.moveaxis(deep[..., :3], -1, 0) if options.get("planarconfig") else deep[..., :3]
        picture = io.read_picture(deep_tiff(tmp_path / "a.tif", pixels, **options))
        close(picture.rgb, deep[..., :3] / 65535)
        assert picture.alpha is None

    @pytest.mark.parametrize(
        ("kind", "has_alpha"), [("unassalpha", True), ("assocalpha", True), ("unspecified", False)]
    )
    def test_tiff_alpha_by_its_kind(self, tmp_path, rng, kind, has_alpha):
        rgba = rng.random((6, 9, 4)) * 0.8 + 0.2
        stored = rgba.copy()
        if kind == "assocalpha":
            stored[..., :3] *= stored[..., 3:]
        path = deep_tiff(tmp_path / "a.tif", np.rint(stored * 65535).astype(np.uint16), extrasamples=kind)
        picture = io.read_picture(path)
        close(picture.rgb, rgba[..., :3], 1e-4)
        assert (picture.alpha is not None) == has_alpha
        if has_alpha:
            close(picture.alpha, rgba[..., 3], 1e-4)

    def test_tiff_in_cmyk_is_not_taken_for_rgba(self, tmp_path):
        ink = np.zeros((4, 5, 4), np.uint16)
        ink[..., 0] = 65535
        picture = io.read_picture(deep_tiff(tmp_path / "a.tif", ink, photometric="separated"))
        close(picture.rgb, np.broadcast_to(np.array([0.0, 1.0, 1.0]), (4, 5, 3)), 0.01)
        assert picture.alpha is None

    def test_float_tiff_is_clipped_to_the_unit_range(self, tmp_path):
        values = np.linspace(-0.5, 1.5, 600, dtype=np.float32).reshape(20, 30)
        tifffile.imwrite(tmp_path / "a.tif", values)
        close(io.read(tmp_path / "a.tif"), np.repeat(np.clip(values, 0, 1)[..., None], 3, -1))

    def test_float_tiff_with_nan_is_refused(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.full((3, 4), np.nan, np.float32))
        with pytest.raises(ImageError, match="not finite"):
            io.read(tmp_path / "a.tif")


class TestProfiles:
    @pytest.mark.parametrize("extension", [".png", ".tif", ".webp", ".jpg"])
    def test_srgb_changes_nothing(self, tmp_path, extension):
        options = {"quality": 100, "subsampling": 0, "lossless": True}
        pictures = []
        for name, icc in (("plain", None), ("tagged", profile())):
            path = saved(tmp_path / f"{name}{extension}", blocks(), icc_profile=icc, **options)
            pictures.append(io.read(path))
        np.testing.assert_array_equal(*pictures)

    def test_srgb_changes_nothing_at_16_bits(self, tmp_path, deep):
        for writer in (deep_png, deep_tiff):
            close(io.read(writer(tmp_path / "a.x", deep[..., :3], profile=profile())), deep[..., :3] / 65535)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_linear_rgb_is_encoded(self, tmp_path, pixels, mode):
        path = saved(tmp_path / "a.png", pixels, mode, icc_profile=profile(linear=True))
        close(io.read(path), encoded(pixels / 255), 0.01)

    def test_linear_rgb_is_encoded_at_16_bits(self, tmp_path, deep):
        for writer in (deep_png, deep_tiff):
            path = writer(tmp_path / "a.x", deep[..., :3], profile=profile(linear=True))
            bright = deep[..., :3] > 6000
            close(io.read(path)[bright], encoded(deep[..., :3] / 65535)[bright], 0.015)

    @pytest.mark.parametrize("channels", [1, 2])
    def test_linear_gray_is_encoded(self, tmp_path, deep, channels):
        icc = profile(linear=True, gray=True)
        paths = [
            saved(tmp_path / "a.png", (deep[..., :channels] >> 8).astype(np.uint8).squeeze(), icc_profile=icc),
            deep_png(tmp_path / "b.png", deep[..., :channels], profile=icc),
        ]
        for path in paths:
            bright = deep[..., 0] > 6000
            close(io.read_picture(path).rgb[bright][:, 1], encoded(deep[..., 0] / 65535)[bright], 0.02)

    def test_primaries_are_converted(self, tmp_path, pixels):
        path = saved(tmp_path / "a.png", pixels, icc_profile=profile(swapped=True))
        close(io.read(path), pixels[..., ::-1] / 255, 0.01)

    def test_profile_is_applied_to_an_oriented_picture_with_alpha(self, tmp_path, rng):
        rgba = rng.integers(1, 256, (6, 9, 4), np.uint8)
        path = saved(tmp_path / "a.png", STORED[6](rgba), exif=exif(6), icc_profile=profile(swapped=True))
        picture = io.read_picture(path)
        close(picture.rgb, rgba[..., 2::-1] / 255, 0.01)
        close(picture.alpha, rgba[..., 3] / 255)

    @pytest.mark.parametrize("broken", [b"nonsense", profile()[:200], profile()[:-40]])
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_broken_one_or_one_of_another_color_space_is_ignored(self, tmp_path, broken, mode):
        paths = [saved(tmp_path / f"{i}.tif", blocks(), mode, icc_profile=icc) for i, icc in enumerate((None, broken))]
        np.testing.assert_array_equal(*map(io.read, paths))

    @pytest.mark.parametrize("mode", ["L", "CMYK"])
    def test_rgb_profile_on_other_pixels_is_ignored(self, tmp_path, mode):
        icc = (None, profile(linear=True))
        paths = [saved(tmp_path / f"{i}.tif", blocks(), mode, icc_profile=each) for i, each in enumerate(icc)]
        np.testing.assert_array_equal(*map(io.read, paths))

    def test_broken_one_is_ignored_at_16_bits(self, tmp_path, deep):
        close(io.read(deep_tiff(tmp_path / "a.tif", deep[..., :3], profile=b"nonsense")), deep[..., :3] / 65535)


def bomb(path, depth=8):
    """Write the header of a PNG of 60000 x 60000 pixels, and next to no data."""
    header = struct.pack(">IIBBBBB", 60000, 60000, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def truncated(path, share=0.5):
    """Cut a noisy picture, written by its extension, to a share of its bytes."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    saved(path, noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def truncated_deep(path, channels):
    noise = np.random.default_rng(0).integers(0, 65536, (64, 64, channels), np.uint16)
    deep_png(path, noise) if path.suffix == ".png" else deep_tiff(path, noise.squeeze())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN = {
    "bomb.png": bomb,
    "deep_bomb.png": lambda path: bomb(path, 16),
    "missing.jpg": lambda path: None,
    "folder.png": lambda path: path.mkdir(),
    "empty.png": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("dear diary\n"),
    "signature.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
    "cut.jpg": truncated,
    "cut.png": truncated,
    "cut.webp": truncated,
    "cut.bmp": truncated,
    "cut.gif": truncated,
    "cut.tif": truncated,
    "header.png": lambda path: truncated(path, 0.003),
    "gray.png": lambda path: truncated_deep(path, 1),
    "color.png": lambda path: truncated_deep(path, 3),
    "gray.tif": lambda path: truncated_deep(path, 1),
    "color.tif": lambda path: truncated_deep(path, 3),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_line_that_names_them(tmp_path, name):
    BROKEN[name](tmp_path / name)
    start = time.monotonic()
    with pytest.raises(ImageError) as caught:
        io.read(tmp_path / name)
    assert time.monotonic() - start < 2
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", io.DEEP)
@pytest.mark.parametrize("transparent", [False, True])
def test_16_bits_round_trip_exactly(tmp_path, rng, extension, transparent):
    levels = rng.integers(0, 65536, (9, 14, 4)).astype(np.float32) / 65535
    path = io.write(tmp_path / f"a{extension}", levels[..., :3], alpha=levels[..., 3] if transparent else None, bits=16)
    picture = io.read_picture(path)
    close(picture.rgb, levels[..., :3], 1e-7)
    assert (picture.alpha is not None) == transparent
    if transparent:
        close(picture.alpha, levels[..., 3], 1e-7)


def test_16_bits_only_where_the_format_has_them(tmp_path):
    with pytest.raises(ImageError, match=r"16 bits; 8 always, 16 for .png .tif"):
        io.write(tmp_path / "a.jpg", blocks(), bits=16)


def test_memory_decides_what_is_too_large(tmp_path, monkeypatch):
    path = io.write(tmp_path / "a.png", blocks())
    height, width = blocks().shape[:2]
    monkeypatch.setattr(memory, "available", lambda: height * width * 24 - 1)
    with pytest.raises(ImageError, match=r"GiB to be read, but 0\.0 GiB are free"):
        io.read(path)
    monkeypatch.setattr(memory, "available", lambda: height * width * 24)
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 4)
    assert io.read(path).shape == (height, width, 3)
    assert pillow.MAX_IMAGE_PIXELS == 4


@pytest.mark.parametrize("extension", io.WRITABLE)
def test_write_round_trips(tmp_path, extension):
    exact = extension in LOSSLESS
    picture = (np.random.default_rng(1).integers(0, 256, (11, 7, 3), np.uint8) if exact else blocks()) / np.float32(255)
    path = tmp_path / f"a{extension}"
    assert io.write(path, picture) == path
    close(io.read(path), picture, 1e-6 if exact else 0.02)
    io.write(path, np.rint(picture * 255).astype(np.uint8))  # 8-bit values give the same file, and replace the old one
    close(io.read(path), picture, 1e-6 if exact else 0.02)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_write_upper_case_and_text_path(tmp_path, photo):
    io.write(str(tmp_path / "A.PNG"), photo)
    close(io.read(tmp_path / "A.PNG"), np.rint(photo * 255) / 255)


@pytest.mark.parametrize("extension", io.WRITABLE)
def test_written_pictures_say_that_they_are_srgb(tmp_path, photo, extension):
    with pillow.open(io.write(tmp_path / f"a{extension}", photo)) as image:
        found = ImageCms.ImageCmsProfile(streams.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(found)


@pytest.mark.parametrize("extension", io.WRITABLE)
def test_alpha_is_kept_or_laid_on_white(tmp_path, rng, extension):
    picture, alpha = blocks() / np.float32(255), np.zeros((48, 64), np.float32)
    alpha[16:], alpha[32:] = 102 / 255, 1
    path = io.write(tmp_path / f"a{extension}", picture, alpha=alpha)
    got = io.read_picture(path)
    if extension in LOSSLESS:
        close(got.rgb, picture)  # under transparent parts too
        close(got.alpha, alpha)
    else:
        assert got.alpha is None
    close(io.read(path), picture * alpha[..., None] + 1 - alpha[..., None], 0.02)


def test_failing_save_leaves_the_old_file_and_nothing_else(tmp_path, photo, monkeypatch):
    path = io.write(tmp_path / "a.png", photo)
    before = path.read_bytes()

    def fail(self, partial, **options):
        partial.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pillow.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        io.write(path, 1 - photo)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.bmp", "cannot write .bmp"),
        ("a", "without extension"),
        ("no/such/a.png", "does not exist"),
        ("d.png", "is a folder"),
    ],
)
def test_check_writable_refuses(tmp_path, photo, name, words):
    (tmp_path / "d.png").mkdir()
    for action in (io.check_writable, lambda path: io.write(path, photo)):
        with pytest.raises(ImageError, match=words):
            action(tmp_path / name)


@pytest.mark.parametrize(
    "picture",
    [np.full((4, 4, 3), np.nan), np.full((4, 4, 3), 2.0), np.zeros((4, 4)), np.zeros((4, 4, 4)), np.zeros((0, 4, 3))],
)
def test_write_refuses_what_is_not_a_picture(tmp_path, picture):
    with pytest.raises(ValueError, match="expected"):
        io.write(tmp_path / "a.png", picture)
    assert not list(tmp_path.iterdir())


def test_pictures_in_a_folder_are_sorted(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.txt", ".hidden.png", "d.webp"):
        (tmp_path / name).touch()
    (tmp_path / "e.png").mkdir()
    assert [each.name for each in io.pictures_in(tmp_path)] == ["a.jpg", "b.PNG", "d.webp"]


def test_pictures_in_refuses_empty_folders_and_what_is_none(tmp_path):
    (tmp_path / "a.txt").touch()
    for folder, words in (
        (tmp_path, "no pictures"),
        (tmp_path / "a.txt", "not a folder"),
        (tmp_path / "b", "not a folder"),
    ):
        with pytest.raises(ImageError, match=words):
            io.pictures_in(folder)


def test_side_by_side_is_a_row_of_one_height_on_white():
    red, blue = np.zeros((10, 20, 3), np.float32), np.zeros((40, 10, 3), np.uint8)
    red[..., 0], blue[..., 2] = 1, 255
    row = io.side_by_side([red, blue], height=20, gap=4)
    assert row.shape == (20, 40 + 4 + 5, 3)
    np.testing.assert_array_equal(row[:, :40], np.broadcast_to(np.float32([1, 0, 0]), (20, 40, 3)))
    np.testing.assert_array_equal(row[:, 40:44], 1)
    np.testing.assert_array_equal(row[:, 44:], np.broadcast_to(np.float32([0, 0, 1]), (20, 5, 3)))
    assert io.side_by_side([np.zeros((100, 1, 3), np.float32)], height=8).shape == (8, 1, 3)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_a_damaged_tiff_is_one_error_and_nothing_else_on_the_terminal(tmp_path, rng, capfd, compression):
    path = tmp_path / "damaged.tif"
    pillow.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(path, compression=compression)
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 3, len(content) // 3 + 60)
    content[middle] = bytes(255 - each for each in content[middle])
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged"):
        io.read(path)
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"
