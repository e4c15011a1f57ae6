"""The images as the server sees them: Pillow is the reference that takt-image is held to."""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIZE = 128
LABELS = ["ok", "scratch", "dent", "stain", "hole", "crack"]
# Of the training split's samples / 255, rounded.
MEAN = [0.5, 0.5, 0.5]
STD = [0.1, 0.1, 0.1]


def load(path):
    """One image as bytes [3, SIZE, SIZE]: decoded, RGB, stretched with Pillow's anti-aliased bilinear filter."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(small).transpose(2, 0, 1)


def load_split(folder, split):
    """Every image of a split, their label indices and their rows of labels.csv."""
    with open(Path(folder) / "labels.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    images = np.stack([load(Path(folder) / row["file"]) for row in rows])
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    return torch.from_numpy(images), torch.from_numpy(labels), rows


def normalise(images):
    """Bytes [N, 3, H, W] to the network's input."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std
