"""Trains the demonstration model and packages it. Run by hand; see README.md beside this file."""

import argparse
import time
from pathlib import Path

import torch

from images import LABELS, SIZE, load_split, normalise
from network import Network
from package import package

BATCH = 32


def augment(images):
    """Flips and quarter turns: a defect is the same defect in all of them."""
    if torch.rand(()) < 0.5:
        images = images.flip(2)
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    if torch.rand(()) < 0.5:
        images = images.transpose(2, 3)
    # Light and contrast as stations differ.
    gain = 1 + 0.1 * torch.randn(len(images), 1, 1, 1)
    tint = 1 + 0.04 * torch.randn(len(images), 3, 1, 1)
    return (images.float() * gain * tint).clamp(0, 255)


@torch.no_grad()
def predict(network, images):
    """Logits [N, classes]."""
    network.eval()
    return torch.cat([network(normalise(batch)) for batch in images.split(BATCH)])


def train(network, data, epochs, rate):
    """Fits the network; prints one line per epoch."""
    images, labels = data["train"][:2]
    batches = len(images) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * batches, pct_start=0.2)
    for epoch in range(epochs):
        start, total = time.monotonic(), 0.0
        network.train()
        for indices in torch.randperm(len(images))[: batches * BATCH].split(BATCH):
            loss = torch.nn.functional.cross_entropy(
                network(normalise(augment(images[indices]))), labels[indices], label_smoothing=0.02)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        logits = predict(network, data["validation"][0])
        accuracy = (logits.argmax(1) == data["validation"][1]).float().mean()
        print(f"epoch {epoch + 1:2}/{epochs}  loss {total / batches:.3f}  validation {accuracy:.4f}"
              f"  {time.monotonic() - start:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that `takt data generate` wrote")
    parser.add_argument("--out", type=Path, required=True, help="version folder to write, such as surface-defects/1")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=Path, help="folder for a few images of the test split")
    parser.add_argument("--weights", type=Path, help="weights to begin with; with --epochs 0 they are packaged as they are")
    parser.add_argument("--save-weights", type=Path, help="file for the weights after training")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)

    data = {split: load_split(arguments.data, split) for split in ("train", "validation", "test")}
    network = Network(len(LABELS)).to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters, input {SIZE} x {SIZE}", flush=True)
    if arguments.weights:
        network.load_state_dict(torch.load(arguments.weights))
    if arguments.epochs:
        train(network, data, arguments.epochs, arguments.rate)
    if arguments.save_weights:
        torch.save(network.state_dict(), arguments.save_weights)
    logits = {split: predict(network, data[split][0]) for split in ("validation", "test")}
    package(network.to(memory_format=torch.contiguous_format), data, logits, arguments)


if __name__ == "__main__":
    main()
