#!/usr/bin/env python3
"""How long PyTorch's library (cuBLAS and its attention on a GPU) takes for work that a bench names.

    library.py [--device cuda|cpu] [--batch N] [--heads N] NAME...

NAME is product_M_N_K, attention_ROWS_KEYS_WIDTH or attention_backward_ROWS_KEYS_WIDTH, the latter
causal, over so many heads. Operands are bf16, random normal; products are of a matrix by a transposed
one. Prints `NAME MS` a line, MS the median of 20 calls after 5.
"""

import argparse
import re
import statistics
import time

import torch
from torch.nn import functional

WARM_UP, CALLS = 5, 20


def median_ms(device, work):
    times = []
    for _ in range(WARM_UP + CALLS):
        if device == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            begin = time.perf_counter()
            work()
            times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times[WARM_UP:])


def product(random, m, n, k):
    a, b = random(m, k), random(n, k)
    return lambda: a @ b.T


def attention(random, batch, heads, rows, keys, width):
    q, k, v = (random(batch, heads, n, width) for n in (rows, keys, keys))
    return lambda: functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def attention_backward(random, batch, heads, rows, keys, width):
    inputs = [random(batch, heads, n, width).requires_grad_() for n in (rows, keys, keys)]
    out = functional.scaled_dot_product_attention(*inputs, is_causal=True)
    gradient = random(batch, heads, rows, width)
    return lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True)


def work_of(name, random, batch, heads):
    found = re.fullmatch(r"(product|attention_backward|attention)_(\d+_\d+_\d+)", name)
    if not found:
        raise SystemExit(f"error: no work is named {name}")
    kind, sizes = found.groups()
    sizes = [int(size) for size in sizes.split("_")]
    if kind == "product":
        return product(random, *sizes)
    make = attention if kind == "attention" else attention_backward
    return make(random, batch, heads, *sizes)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()
    torch.manual_seed(0)
    random = lambda *shape: torch.randn(*shape, device=args.device, dtype=torch.bfloat16)
    for name in args.names:
        work = work_of(name, random, args.batch, args.heads)
        print(name, f"{median_ms(args.device, work):.4f}", flush=True)


main()
