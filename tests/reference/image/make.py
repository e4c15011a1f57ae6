"""Makes the images and expected tensors that serving/image/tests/reference.rs compares takt-image with.

Run by hand with Pillow and NumPy; what it writes beside itself is committed:
  images/            small files of every kind that is read
  cases.json         which image, which `preprocess`, compared how strictly
  expected.safetensors  per case the resized 8-bit pixels (H, W, C) or, for `tensor` cases, the normalised tensor
"""
import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
IMAGES = HERE / "images"
FILTERS = {
    "nearest": Image.NEAREST,
    "bilinear": Image.BILINEAR,
    "bicubic": Image.BICUBIC,
    "lanczos3": Image.LANCZOS,
}


def scene(width, height, seed):
    """Shading, edges and some texture, without flat areas."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = np.stack([90 + 60 * np.sin(x / 23 + c) + 40 * np.cos(y / 17 - c) for c in range(3)], -1)
    for _ in range(9):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, width / 6)
        base[(x - cx) ** 2 + (y - cy) ** 2 < r * r] += rng.uniform(-70, 90, 3)
    texture = np.asarray(
        Image.fromarray(rng.normal(size=(height // 3, width // 3)).astype(np.float32)).resize((width, height), Image.BICUBIC)
    )
    return (base + 5 * texture[..., None]).clip(0, 255).astype(np.uint8)


def png(width, height, depth, colour, rows, interlaced=None):
    """What Pillow cannot write: 16 bits per channel, Adam7. `rows` is the unfiltered data, a filter byte per row."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 1 if interlaced else 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def adam7(pixels):
    rows = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for row in pixels[y0::dy, x0::dx]:
            rows += b"\0" + row.tobytes()
    return rows


def make_images():
    IMAGES.mkdir(exist_ok=True)
    for old in IMAGES.iterdir():
        old.unlink()

    def save(image, name, **options):
        image.save(IMAGES / name, **options)

    photo = Image.fromarray(scene(157, 121, 1))  # no multiple of any block size
    small = Image.fromarray(scene(29, 23, 2))
    frame = Image.fromarray(scene(397, 291, 3))
    jpeg = {"quality": 88}
    save(photo, "420.jpg", subsampling="4:2:0", **jpeg)
    save(photo, "422.jpg", subsampling="4:2:2", **jpeg)
    save(photo, "444.jpg", subsampling="4:4:4", **jpeg)
    save(photo.convert("L"), "grey.jpg", **jpeg)
    save(photo, "progressive.jpg", progressive=True, subsampling="4:2:0", **jpeg)
    save(photo, "restart.jpg", restart_marker_blocks=3, subsampling="4:2:0", **jpeg)
    save(photo.convert("CMYK"), "cmyk.jpg", **jpeg)
    save(photo, "rgb.jpg", keep_rgb=True, **jpeg)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(photo, "exif-rotated.jpg", exif=exif, **jpeg)
    save(frame, "frame-420.jpg", subsampling="4:2:0", quality=85)

    save(small, "rgb.png")
    alpha = small.copy()
    alpha.putalpha(Image.fromarray((scene(29, 23, 9)[..., 0])))
    save(alpha, "rgba.png")
    save(small.convert("L"), "grey.png")
    save(alpha.convert("LA"), "grey-alpha.png")
    save(small.quantize(64), "palette.png")
    save(small.quantize(11), "palette-4bit.png", bits=4, transparency=3)
    save(small.convert("1"), "1bit.png")
    wide = scene(29, 23, 2).astype(">u2") * 257 + np.arange(29, dtype=np.uint16)[None, :, None] % 7
    wide = wide.clip(0, 65535).astype(">u2")
    (IMAGES / "rgb16.png").write_bytes(png(29, 23, 16, 2, b"".join(b"\0" + row.tobytes() for row in wide)))
    (IMAGES / "interlaced.png").write_bytes(png(29, 23, 8, 2, adam7(np.asarray(small)), True))

    save(small, "24bit.bmp")
    save(small.quantize(64), "palette.bmp")
    save(small.convert("L"), "grey.bmp")
    save(small.convert("1"), "1bit.bmp")
    save(alpha, "32bit.bmp")
    upside_down = io.BytesIO()
    small.transpose(Image.FLIP_TOP_BOTTOM).save(upside_down, "BMP")
    data = bytearray(upside_down.getvalue())
    data[22:26] = struct.pack("<i", -23)
    (IMAGES / "top-down.bmp").write_bytes(data)


def scaled_size(spec, width, height):
    w, h = spec["width"], spec["height"]
    mode = spec.get("resize", {"mode": "stretch"})
    if mode["mode"] == "stretch":
        return w, h
    if mode["mode"] == "letterbox":
        ratio = min(w / width, h / height)
        return max(1, int(width * ratio + 0.5)), max(1, int(height * ratio + 0.5))
    s = mode["shorter"]  # torchvision's Resize(int)
    return (s, int(s * height / width)) if width <= height else (int(s * width / height), s)


def pixels(file, spec):
    """(H, W, C) uint8, by Pillow alone."""
    image = Image.open(IMAGES / file)
    grey = spec.get("color") == "gray"
    size = scaled_size(spec, *image.size)
    box = None
    if file == "422.jpg" and spec.get("scaled_decode", True):
        # libjpeg-turbo cannot scale the axes of chroma differently, so a draft of 4:2:2 has half the colour resolution
        # that its size allows (up to 33 levels from the full picture at 1/8). The full picture, averaged, is the truth.
        image = image.convert("RGB")
        scale = max(s for s in (1, 2, 4, 8) if size[0] * s <= image.width and size[1] * s <= image.height)
        box = (0, 0, image.width / scale, image.height / scale)
        image = image.reduce(scale)
    elif image.format == "JPEG" and spec.get("scaled_decode", True):
        drafted = image.draft(None, size)
        box = drafted and drafted[1]
    image = image.convert("L" if grey else "RGB")
    image = image.resize(size, FILTERS[spec.get("filter", "bilinear")], box=box)
    out = np.asarray(image).reshape(size[1], size[0], -1)
    w, h = spec["width"], spec["height"]
    mode = spec.get("resize", {"mode": "stretch"})
    if mode["mode"] == "letterbox":
        canvas = np.full((h, w, out.shape[2]), mode.get("fill", 0), np.uint8)
        y, x = (h - out.shape[0]) // 2, (w - out.shape[1]) // 2
        canvas[y : y + out.shape[0], x : x + out.shape[1]] = out
        out = canvas
    if mode["mode"] == "shorter_side_crop":  # torchvision's CenterCrop
        y, x = round((out.shape[0] - h) / 2), round((out.shape[1] - w) / 2)
        out = out[y : y + h, x : x + w]
    return np.ascontiguousarray(out)


def tensor(file, spec):
    out = pixels(file, spec).astype(np.float32)
    if spec.get("color") == "bgr":
        out = out[..., ::-1]
    channels = out.shape[2]
    mean = np.array(spec.get("mean") or [0] * channels, np.float32)
    std = np.array(spec.get("std") or [1] * channels, np.float32)
    out = (out * np.float32(spec.get("scale", 1 / 255)) - mean) / std
    if spec.get("layout", "nchw") == "nchw":
        out = out.transpose(2, 0, 1)
    return np.ascontiguousarray(out, np.float32)


def cases():
    full = {"scaled_decode": False}
    every_png = [p.name for p in sorted(IMAGES.glob("*.png"))]
    every_bmp = [p.name for p in sorted(IMAGES.glob("*.bmp"))]
    for file in every_png + every_bmp:
        # The same size: decoding alone.
        yield "exact", file, {"width": 29, "height": 23}
    for file in ("rgb.png", "palette.bmp", "grey-alpha.png", "24bit.bmp"):
        yield "exact", file, {"width": 29, "height": 23, "color": "gray"}
    for name in FILTERS:
        yield "resampled", "rgb.png", {"width": 15, "height": 13, "filter": name}
        yield "resampled", "rgb.png", {"width": 40, "height": 33, "filter": name}
        yield "resampled", "grey.bmp", {"width": 13, "height": 14, "filter": name, "color": "gray"}
    letterbox = {"mode": "letterbox", "fill": 114}
    crop = {"mode": "shorter_side_crop", "shorter": 20}
    yield "resampled", "rgb.png", {"width": 21, "height": 20, "resize": letterbox}
    yield "resampled", "rgb.png", {"width": 24, "height": 12, "resize": letterbox}
    yield "resampled", "rgb.png", {"width": 18, "height": 19, "resize": crop}
    yield "resampled", "24bit.bmp", {"width": 19, "height": 20, "resize": crop, "filter": "bicubic", "color": "gray"}
    for path in sorted(IMAGES.glob("*.jpg")):
        yield "jpeg", path.name, {"width": 30, "height": 24} | full
    yield "jpeg", "420.jpg", {"width": 30, "height": 24, "color": "gray"} | full
    yield "jpeg", "cmyk.jpg", {"width": 30, "height": 24, "color": "gray"} | full
    for file in ("420.jpg", "422.jpg", "444.jpg", "grey.jpg", "restart.jpg"):
        for width, height in ((60, 46), (36, 28), (18, 14)):  # decoded at 1/2, 1/4 and 1/8
            kind = "reduced_jpeg" if file == "422.jpg" else "scaled_jpeg"
            yield kind, file, {"width": width, "height": height}
    yield "scaled_jpeg", "frame-420.jpg", {"width": 60, "height": 60, "color": "gray"}
    yield "scaled_jpeg", "frame-420.jpg", {"width": 48, "height": 48, "resize": {"mode": "shorter_side_crop", "shorter": 55}}
    yield "scaled_jpeg", "frame-420.jpg", {"width": 48, "height": 48, "resize": letterbox, "filter": "lanczos3"}
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    tiny = {"width": 12, "height": 9}
    for layout in ("nchw", "nhwc"):
        for color in ("rgb", "bgr"):
            yield "tensor", "rgb.png", tiny | {"layout": layout, "color": color} | imagenet
        yield "tensor", "rgb.png", tiny | {"layout": layout, "color": "gray", "mean": [0.5], "std": [0.25]}
    yield "tensor", "rgb.png", tiny | {"scale": 1.0, "mean": [123.7, 116.8, 103.9], "color": "bgr"}
    yield "tensor", "rgb.png", tiny | {"scale": 1 / 127.5, "mean": [1.0, 1.0, 1.0]}


def save_tensors(path, tensors):
    """The safetensors format: a length, a JSON header, the data."""
    kinds = {"uint8": "U8", "float32": "F32"}
    header, data = {}, b""
    for name, value in tensors.items():
        start = len(data)
        data += value.tobytes()
        header[name] = {"dtype": kinds[str(value.dtype)], "shape": list(value.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    make_images()
    listed, tensors = [], {}
    for number, (tolerance, file, spec) in enumerate(cases()):
        name = f"{number:03}"
        tensors[name] = tensor(file, spec) if tolerance == "tensor" else pixels(file, spec)
        listed.append({"name": name, "file": file, "compare": tolerance, "preprocess": {"input": "image"} | spec})
    lines = ",\n".join(json.dumps(case) for case in listed)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    # f32 data first: safetensors wants tensors aligned to their element size.
    ordered = dict(sorted(tensors.items(), key=lambda item: str(item[1].dtype)))
    save_tensors(HERE / "expected.safetensors", ordered)


if __name__ == "__main__":
    main()
