"""PyTorch's side of benches/train: for each line `NETWORK SECONDS` on standard input, trains that long on random
images and answers with the images per second and per second of processor time. Two threads, channels last, batch 16, 64 px, SGD with momentum."""

import sys
import time

import torch
import torchvision

BATCH = 16
torch.set_num_threads(2)
torch.manual_seed(1)
images = torch.randn(BATCH, 3, 64, 64).to(memory_format=torch.channels_last)
labels = torch.arange(BATCH) % 10
trainers = {}


def trainer(name):
    model = getattr(torchvision.models, name)(num_classes=10).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step():
        optimiser.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()

    step()
    step()
    return step


for line in sys.stdin:
    name, seconds = line.split()
    if name not in trainers:
        trainers[name] = trainer(name)
    step = trainers[name]
    steps, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < float(seconds):
        step()
        steps += 1
    count = steps * BATCH
    print(count / (time.perf_counter() - start), count / (time.process_time() - cpu), flush=True)
