#!/usr/bin/env python3
"""How fast PyTorch or JAX train what s.lt, t.lt and gpt2.lt train, on this CPU or GPU.

    peer.py torch|torch-compile|jax S|T|G [--steps N] [--threads N] [--text FILE]
            [--device cpu|cuda] [--precision fp32|bf16]

--device and --precision are PyTorch's; bf16 is its autocast, with weights in fp32.

The model is a GPT: learned positions, norms in front, biases, GELU by tanh, the head tied to the
embedding. AdamW with 0.9, 0.95 and decay 0.1, the norm of the gradients clipped at 1.0, random
windows of the bytes of a text. Prints one JSON object, with the keys of `llmc bench --json`.
The clock starts at the first line of this file; the interpreter itself has started by then.
"""

import time

START = time.perf_counter()

import argparse
import json
import os
import resource
import statistics

SIZES = {
    "S": dict(vocab=256, context=256, width=384, layers=6, heads=6, batch=8),
    "T": dict(vocab=256, context=64, width=128, layers=4, heads=4, batch=16),
    "G": dict(vocab=50257, context=1024, width=768, layers=12, heads=12, batch=8),
}
WARM_UP = 3
LR, BETA1, BETA2, DECAY, EPS = 3e-4, 0.9, 0.95, 0.1, 1e-8


class Windows:
    """Random windows of a text, each with the same one token on."""

    def __init__(self, numpy, text, size):
        self.numpy = numpy
        self.tokens = numpy.frombuffer(text, dtype=numpy.uint8)
        self.size = size
        self.random = numpy.random.default_rng(0)

    def next(self, dtype):
        context = self.size["context"]
        starts = self.random.integers(0, len(self.tokens) - context, self.size["batch"])
        cut = lambda by: self.numpy.stack([self.tokens[at + by : at + by + context] for at in starts])
        return cut(0).astype(dtype), cut(1).astype(dtype)


def torch_step(size, threads, text, compiled, device, precision):
    import numpy
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    width, heads = size["width"], size["heads"]

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def attend(self, x):
            b, t, _ = x.shape
            split = self.qkv(x).view(b, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(*split, is_causal=True)
            return self.out(mixed.transpose(1, 2).reshape(b, t, width))

        def forward(self, x):
            x = x + self.attend(self.first(x))
            return x + self.down(functional.gelu(self.up(self.second(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(size["vocab"], width)
            self.place = nn.Embedding(size["context"], width)
            self.layers = nn.Sequential(*(Layer() for _ in range(size["layers"])))
            self.last = nn.LayerNorm(width)
            self.register_buffer("places", torch.arange(size["context"]))
            for name, weight in self.named_parameters():
                if weight.dim() == 2:
                    nn.init.normal_(weight, std=0.02)
                elif name.endswith("bias"):
                    nn.init.zeros_(weight)

        def forward(self, ids, targets):
            x = self.last(self.layers(self.token(ids) + self.place(self.places)))
            logits = functional.linear(x, self.token.weight)
            return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    model = Model().to(device)
    rule = torch.optim.AdamW(model.parameters(), LR, (BETA1, BETA2), EPS, DECAY, fused=True)
    loss_of = torch.compile(model) if compiled else model
    windows = Windows(numpy, text, size)

    def step():
        ids, targets = (torch.from_numpy(x).to(device) for x in windows.next(numpy.int64))
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(ids, targets)
        rule.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rule.step()
        return loss.item()

    return step


def jax_step(size, threads, text):
    # The pool of XLA is as large as the set of cores that the process may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax
    import numpy
    from jax import numpy as jnp

    width, heads, context = size["width"], size["heads"], size["context"]
    random = numpy.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(random.normal(0, 0.02, shape), jnp.float32)
    linear = lambda n, m: {"w": normal(n, m), "b": jnp.zeros(m)}
    unit = lambda: {"w": jnp.ones(width), "b": jnp.zeros(width)}

    def layer():
        return dict(
            first=unit(), qkv=linear(width, 3 * width), out=linear(width, width),
            second=unit(), up=linear(width, 4 * width), down=linear(4 * width, width),
        )

    weights = dict(
        token=normal(size["vocab"], width), place=normal(context, width), last=unit(),
        layers=[layer() for _ in range(size["layers"])],
    )
    is_seen = jnp.tril(jnp.ones((context, context), bool))

    def affine(p, x):
        return x @ p["w"] + p["b"]

    def norm(p, x):
        x = x - x.mean(-1, keepdims=True)
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p["w"] + p["b"]

    def attend(p, x):
        b, t, _ = x.shape
        q, k, v = jnp.moveaxis(affine(p["qkv"], x).reshape(b, t, 3, heads, -1), 2, 0)
        scores = jnp.einsum("bthd,bshd->bhts", q, k) * (width // heads) ** -0.5
        shares = jax.nn.softmax(jnp.where(is_seen, scores, -jnp.inf), axis=-1)
        return affine(p["out"], jnp.einsum("bhts,bshd->bthd", shares, v).reshape(b, t, width))

    def loss_of(p, ids, targets):
        x = p["token"][ids] + p["place"]
        for one in p["layers"]:
            x = x + attend(one, norm(one["first"], x))
            hidden = jax.nn.gelu(affine(one["up"], norm(one["second"], x)), approximate=True)
            x = x + affine(one["down"], hidden)
        logits = norm(p["last"], x) @ p["token"].T
        chosen = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
        return (jax.nn.logsumexp(logits, -1) - chosen).mean()

    def train(state, ids, targets):
        p, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(p, ids, targets)
        each = jax.tree.map
        length = jnp.sqrt(sum((x * x).sum() for x in jax.tree.leaves(g)))
        g = each(lambda x: x * jnp.minimum(1.0, 1.0 / length), g)
        t = t + 1
        m = each(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
        v = each(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)

        def new(p, m, v):
            m, v = m / (1 - BETA1**t), v / (1 - BETA2**t)
            return p - LR * (m / (jnp.sqrt(v) + EPS) + DECAY * p)

        return (each(new, p, m, v), m, v, t), loss

    train = jax.jit(train, donate_argnums=0)
    zeros = lambda: jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros(), zeros(), jnp.zeros(()))
    windows = Windows(numpy, text, size)

    def step():
        nonlocal state
        state, loss = train(state, *windows.next(numpy.int32))
        return float(loss)

    return step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=["torch", "torch-compile", "jax"])
    parser.add_argument("size", choices=sorted(SIZES))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--text", default=os.path.join(here, "../examples/data/shakespeare.txt"))
    args = parser.parse_args()
    with open(args.text, "rb") as file:
        text = file.read()
    size = SIZES[args.size]
    if args.peer == "jax":
        step = jax_step(size, args.threads, text)
    else:
        compiled = args.peer == "torch-compile"
        step = torch_step(size, args.threads, text, compiled, args.device, args.precision)
    begins = time.perf_counter() - START
    step()
    first = time.perf_counter() - START
    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    tokens = size["batch"] * size["context"]
    print(json.dumps({
        "tokens_per_s": round(tokens / statistics.median(times), 1),
        "first_step_s": round(first, 3),
        "first_step_begins_s": round(begins, 3),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }))


main()
