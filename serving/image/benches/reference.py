"""The yardstick of decode.rs: Pillow (libjpeg-turbo's scaled decode, then resize) on the same file.

`reference.py make OUT` writes the frame; `reference.py time FILE WIDTH HEIGHT` answers each line on its standard input
with the seconds of one run, so that both sides can be timed in turn."""
import io
import sys
import time

from PIL import Image


def make(path):
    """A 1920x1080 frame: noise of falling amplitude over all octaves as in natural scenes, parts with edges, sensor
    noise. Quality 90, 4:2:0."""
    import numpy as np

    rng = np.random.default_rng(7)
    width, height = 1920, 1080

    def octave(rows, columns, channels):
        small = rng.normal(size=(rows, columns, channels)).astype(np.float32)
        layers = [np.asarray(Image.fromarray(small[..., c]).resize((width, height), Image.BICUBIC)) for c in range(channels)]
        return np.stack(layers, -1)

    frame = np.full((height, width, 3), 118, np.float32)
    for rows, amplitude in ((4, 38), (8, 24), (16, 15), (32, 10), (64, 7), (128, 5), (256, 4), (512, 3)):
        columns = rows * 16 // 9 + 1
        frame += amplitude * octave(rows, columns, 1) + 0.3 * amplitude * octave(rows, columns, 3)
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(60):
        cx, cy, radius = rng.integers(0, width), rng.integers(0, height), rng.integers(10, 160)
        part = (x - cx) ** 2 + (y - cy) ** 2 < radius * radius
        frame[part] = frame[part] * 0.6 + rng.uniform(0, 255, 3) * 0.4
    frame += rng.normal(size=(height, width, 1)) * 2.0
    Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(path, quality=90, subsampling="4:2:0")


def answer(path, size):
    with open(path, "rb") as file:
        data = file.read()
    for _ in sys.stdin:
        start = time.perf_counter()
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", size)
        image.load()
        decoded = time.perf_counter()
        image.resize(size, Image.BILINEAR)
        print(decoded - start, time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        answer(sys.argv[2], (int(sys.argv[3]), int(sys.argv[4])))
