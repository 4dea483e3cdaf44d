#!/usr/bin/env python3
"""Makes the golden files of this folder: what JAX computes in float64.

    python -m venv VENV && VENV/bin/pip install numpy jax optax
    VENV/bin/python tests/golden/make.py

Nothing else needs Python; the tests read the files. They hold results only: weights, tokens and
gradients come from a small integer generator that `tests/runs/golden.rs` has as well, and each
number of it is exact in float32. Everything here is float64. The files were made by jax 0.10.2 and
numpy 2.4.6, which make the same bytes each time.

    gpt.safetensors     loss, logits and gradients of `gpt` of stdlib/models.lt at made-up weights,
                        and 100 steps of adamw with clip, warm-up and cosine
    rules.safetensors   weights and state after 10 steps of each rule of stdlib/optim.lt

The rules are written out from their papers, then compared with optax where it has the same rule.
"""

import json
import pathlib
import struct

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402

HERE = pathlib.Path(__file__).parent
MASK = 2**64 - 1

# ---------------------------------------------------------------- the generator


def draws(name, n):
    """`n` integers of 16 bits: Knuth's 64-bit congruential generator, upper bits, started from the
    FNV-1a hash of a name."""
    x = 0xCBF29CE484222325
    for byte in name.encode():
        x = ((x ^ byte) * 0x100000001B3) & MASK
    out = []
    for _ in range(n):
        x = (x * 6364136223846793005 + 1442695040888963407) & MASK
        out.append(x >> 48)
    return out


def numbers(name, shape, exponent):
    """A tensor of numbers in [-1, 1) * 2^exponent, in multiples of 2^(exponent - 15)."""
    ints = np.array(draws(name, int(np.prod(shape))), dtype=np.float64)
    return ((ints - 2**15) * 2.0 ** (exponent - 15)).reshape(shape)


# ---------------------------------------------------------------- files


def write(path, tensors):
    """A safetensors file; tensors are F64, or F32 where the array is."""
    header, data = {}, b""
    for name, value in sorted(tensors.items()):
        value = np.asarray(value)
        dtype = {np.dtype("float64"): "F64", np.dtype("float32"): "F32"}[value.dtype]
        raw = value.astype(value.dtype.newbyteorder("<")).tobytes()
        place = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": place}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


# ---------------------------------------------------------------- the model

LAYERS, WIDTH, HEADS, VOCAB, CONTEXT, BATCH = 2, 64, 4, 29, 16, 4


def gpt_shapes():
    shapes = {"tok_emb.weight": (VOCAB, WIDTH), "pos_emb.weight": (CONTEXT, WIDTH)}
    for i in range(LAYERS):
        for part, shape in [
            ("norm1.weight", (WIDTH,)),
            ("norm1.bias", (WIDTH,)),
            ("attn.qkv.weight", (WIDTH, 3 * WIDTH)),
            ("attn.qkv.bias", (3 * WIDTH,)),
            ("attn.proj.weight", (WIDTH, WIDTH)),
            ("attn.proj.bias", (WIDTH,)),
            ("norm2.weight", (WIDTH,)),
            ("norm2.bias", (WIDTH,)),
            ("mlp.up.weight", (WIDTH, 4 * WIDTH)),
            ("mlp.up.bias", (4 * WIDTH,)),
            ("mlp.down.weight", (4 * WIDTH, WIDTH)),
            ("mlp.down.bias", (WIDTH,)),
        ]:
            shapes[f"blocks.{i}.{part}"] = shape
    return shapes | {"norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}


def gpt_weight(path, shape):
    """Larger than a model starts with, so that no part of it is nearly linear."""
    layer, kind = path.split(".")[-2:]
    if kind == "bias":
        return numbers(path, shape, -3)
    if layer.startswith("norm"):
        return 1 + numbers(path, shape, -3)
    return numbers(path, shape, -2)


def batch(step):
    """Ids and targets. Each id follows from the one before, but for one in four; row 3 lacks more
    targets than row 0, so that micro-batches differ in how many they have."""
    ids, targets = [], []
    for row in range(BATCH):
        noise = draws(f"noise.{step}.{row}", CONTEXT + 1)
        holes = draws(f"holes.{step}.{row}", CONTEXT)
        chain = [noise[0] % VOCAB]
        for r in noise[1:]:
            follows = (5 * chain[-1] + 3) % VOCAB
            chain.append(follows if r % 4 else (r // 4) % VOCAB)
        ids.append(chain[:-1])
        targets.append([-1 if h % 8 < row else c for c, h in zip(chain[1:], holes)])
    return jnp.array(ids), jnp.array(targets)


def layernorm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def block(p, at, x):
    def norm(name, x):
        return layernorm(x, p[f"{at}.{name}.weight"], p[f"{at}.{name}.bias"])

    def linear(name, x):
        return x @ p[f"{at}.{name}.weight"] + p[f"{at}.{name}.bias"]

    b, t, d = x.shape
    qkv = linear("attn.qkv", norm("norm1", x)).reshape(b, t, 3, HEADS, d // HEADS)
    q, k, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    scores = q @ k.transpose(0, 1, 3, 2) / jnp.sqrt(d // HEADS)
    scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
    mixed = jax.nn.softmax(scores, axis=-1) @ v
    x = x + linear("attn.proj", mixed.transpose(0, 2, 1, 3).reshape(b, t, d))
    hidden = jax.nn.gelu(linear("mlp.up", norm("norm2", x)), approximate=True)
    return x + linear("mlp.down", hidden)


def gpt(p, ids):
    x = p["tok_emb.weight"][ids] + p["pos_emb.weight"]
    for i in range(LAYERS):
        x = block(p, f"blocks.{i}", x)
    return layernorm(x, p["norm.weight"], p["norm.bias"]) @ p["tok_emb.weight"].T


def mean_loss(p, ids, targets):
    """The mean over the target tokens of the whole batch."""
    logs = jax.nn.log_softmax(gpt(p, ids))
    hits = jnp.take_along_axis(logs, jnp.maximum(targets, 0)[..., None], -1)[..., 0]
    is_target = targets >= 0
    return -jnp.where(is_target, hits, 0).sum() / is_target.sum()


# ---------------------------------------------------------------- one run

STEPS, WARMUP, PEAK, END, CLIP, DECAY = 100, 10, 2e-3, 0.1, 2.75, 0.1


def rate(t):
    """Linear warm-up, then half a cosine over the steps after it. t counts from 1."""
    if t < WARMUP:
        return PEAK * t / WARMUP
    share = (t - WARMUP) / (STEPS - WARMUP)
    return PEAK * (END + (1 - END) * 0.5 * (1 + np.cos(np.pi * share)))


def run(p):
    """Loss, norm of the gradient and learning rate of each step."""
    value_and_grad = jax.jit(jax.value_and_grad(mean_loss))
    states = {name: AdamW.start(w) for name, w in p.items()}
    log = []
    for t in range(1, STEPS + 1):
        loss, grads = value_and_grad(p, *batch(t))
        norm = np.sqrt(sum((np.asarray(g) ** 2).sum() for g in grads.values()))
        clip = min(1.0, CLIP / norm)
        for name in p:
            decay = DECAY if np.ndim(p[name]) >= 2 else 0.0
            rule = AdamW(beta2=0.95, decay=decay)
            grad = np.asarray(grads[name]) * clip
            p[name] = rule.step(p[name], grad, states[name], rate(t), t)
        log.append((loss, norm, rate(t)))
    return np.array(log, dtype=np.float64).T


def make_gpt():
    p = {path: gpt_weight(path, shape) for path, shape in gpt_shapes().items()}
    ids, targets = batch(0)
    loss, grads = jax.value_and_grad(mean_loss)(p, ids, targets)
    out = {f"grad.{path}": np.asarray(g, dtype=np.float32) for path, g in grads.items()}
    out |= {"loss": np.asarray(loss), "logits": np.asarray(gpt(p, ids))}
    out["run.loss"], out["run.grad_norm"], out["run.lr"] = run(p)
    write(HERE / "gpt.safetensors", out)


# ---------------------------------------------------------------- the rules


class Rule:
    """A rule is a set of numbers; `start` makes the state of a weight, `step` moves both."""

    STATE: tuple = ()
    MATRIX = False  # whether it sees every weight as a matrix

    def __init__(self, **settings):
        self.__dict__.update(settings)

    @classmethod
    def start(cls, w):
        return {name: np.zeros_like(w) for name in cls.STATE}


class Sgd(Rule):
    STATE = ("m",)
    momentum, nesterov, l2 = 0.0, False, 0.0

    def step(self, w, g, s, lr, t):
        d = g + self.l2 * w
        s["m"] = self.momentum * s["m"] + d
        return w - lr * (d + self.momentum * s["m"] if self.nesterov else s["m"])


class Adam(Rule):
    """Kingma and Ba 2014, arXiv:1412.6980, algorithm 1; l2 is part of the gradient."""

    STATE = ("m", "v")
    beta1, beta2, eps, l2 = 0.9, 0.999, 1e-8, 0.0

    def direction(self, w, g, s, t):
        d = g + self.l2 * w
        s["m"] = self.beta1 * s["m"] + (1 - self.beta1) * d
        s["v"] = self.beta2 * s["v"] + (1 - self.beta2) * d**2
        mean, square = s["m"] / (1 - self.beta1**t), s["v"] / (1 - self.beta2**t)
        return mean / (np.sqrt(square) + self.eps)

    def step(self, w, g, s, lr, t):
        return w - lr * self.direction(w, g, s, t)


class AdamW(Adam):
    """Loshchilov and Hutter 2017, arXiv:1711.05101, algorithm 2."""

    beta2, decay = 0.95, 0.0

    def step(self, w, g, s, lr, t):
        return w - lr * (self.direction(w, g, s, t) + self.decay * w)


class Lion(Rule):
    """Chen et al. 2023, arXiv:2302.06675, algorithm 2."""

    STATE = ("m",)
    beta1, beta2, decay = 0.9, 0.99, 0.0

    def step(self, w, g, s, lr, t):
        c = self.beta1 * s["m"] + (1 - self.beta1) * g
        # A sign that rounding decides could not be compared.
        assert not ((c != 0) & (np.abs(c) < 1e-6)).any()
        s["m"] = self.beta2 * s["m"] + (1 - self.beta2) * g
        return w - lr * (np.sign(c) + self.decay * w)


class Lamb(Adam):
    """You et al. 2019, arXiv:1904.00962, algorithm 2, with the identity as its phi."""

    eps, decay = 1e-6, 0.0

    def step(self, w, g, s, lr, t):
        u = self.direction(w, g, s, t) + self.decay * w
        lengths = np.linalg.norm(w), np.linalg.norm(u)
        trust = lengths[0] / lengths[1] if min(lengths) > 0 else 1.0
        return w - lr * trust * u


class Lars(Rule):
    """You et al. 2017, arXiv:1708.03888, algorithm 1."""

    STATE = ("m",)
    momentum, trust, eps, decay = 0.9, 0.001, 1e-9, 0.0

    def step(self, w, g, s, lr, t):
        lengths = np.linalg.norm(w), np.linalg.norm(g)
        below = lengths[1] + self.decay * lengths[0] + self.eps
        local = self.trust * lengths[0] / below if min(lengths) > 0 else 1.0
        s["m"] = self.momentum * s["m"] + local * lr * (g + self.decay * w)
        return w - s["m"]


class Adafactor(Rule):
    """Shazeer and Stern 2018, arXiv:1804.04235, algorithms 4 and 5, with a step size that is given;
    a vector is a matrix of one row, for which the factors are the second moment itself."""

    MATRIX = True
    eps, decay_rate, threshold, decay = 1e-30, 0.8, 1.0, 0.0

    @classmethod
    def start(cls, w):
        return {"r": np.zeros((w.shape[0], 1)), "c": np.zeros((1, w.shape[1]))}

    def step(self, w, g, s, lr, t):
        beta = 1 - t**-self.decay_rate
        square = g**2 + self.eps
        s["r"] = beta * s["r"] + (1 - beta) * square.mean(1, keepdims=True)
        s["c"] = beta * s["c"] + (1 - beta) * square.mean(0, keepdims=True)
        u = g / np.sqrt(s["r"] * s["c"] / s["r"].mean())
        u = u / max(1.0, np.sqrt((u**2).mean()) / self.threshold)
        return w - lr * (u + self.decay * w)


class Muon(Rule):
    """Jordan et al. 2024, kellerjordan.github.io/posts/muon, with the step length of Liu et al.
    2025, arXiv:2502.16982."""

    STATE, MATRIX = ("m",), True
    momentum, nesterov, eps, decay = 0.95, True, 1e-7, 0.0

    def step(self, w, g, s, lr, t):
        s["m"] = self.momentum * s["m"] + g
        u = g + self.momentum * s["m"] if self.nesterov else s["m"]
        x = u / (np.linalg.norm(u) + self.eps)
        rows, cols = x.shape
        x = x.T if rows > cols else x
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        x = x.T if rows > cols else x
        return w - lr * (0.2 * np.sqrt(max(rows, cols)) * x + self.decay * w)


N_STEPS, LR = 10, 0.0078125

TENSORS = {
    "table": (8, 6),
    "vector": (6,),
    "scale": (1,),
    "wide": (6, 10),
    "cube": (2, 5, 10),
    "head": (10, 8),
}


def weight(name):
    """The vector starts at zero, where rules that look at the length of a weight have a case."""
    return np.zeros(TENSORS[name]) if name == "vector" else numbers(name, TENSORS[name], -1)


def gradient(name, t):
    """Changes its size from step to step; parts of it are zero, as in rows of rare tokens."""
    g = numbers(f"{name}.{t}", TENSORS[name], -(t % 4))
    if name == "scale" and t in (1, 5):
        g[:] = 0
    if name == "table" and t <= 3:
        g[2] = 0
    return g


def as_matrix(x):
    """Leading axes joined; a vector is one row."""
    return x.reshape(-1, x.shape[-1])


def after_steps(rule, name):
    view = as_matrix if rule.MATRIX else lambda x: x
    w = view(weight(name))
    s = rule.start(w)
    for t in range(1, N_STEPS + 1):
        w = rule.step(w, view(gradient(name, t)), s, LR, t)
    return w, s


MATRICES = [name for name, shape in TENSORS.items() if len(shape) >= 2]


def decay_of(name):
    """The set `matrices`."""
    return 0.1 if name in MATRICES else 0.0


# The name of each case in the file, and its rule for a tensor.
CASES = {
    "sgd": lambda _: Sgd(),
    "momentum": lambda _: Sgd(momentum=0.9),
    "nesterov": lambda _: Sgd(momentum=0.9, nesterov=True, l2=0.05),
    "adam": lambda _: Adam(l2=0.05),
    "adamw": lambda name: AdamW(decay=decay_of(name)),
    "lion": lambda name: Lion(decay=decay_of(name)),
    "lamb": lambda name: Lamb(decay=decay_of(name)),
    "lars": lambda name: Lars(decay=decay_of(name)),
    # The usual trust moves a weight by too little to tell in ten steps.
    "lars_far": lambda name: Lars(trust=0.5, decay=decay_of(name)),
    "adafactor": lambda name: Adafactor(decay=decay_of(name)),
    "muon": lambda name: Muon(decay=decay_of(name)),
}


def make_rules():
    out = {}
    for case, rule_of in CASES.items():
        for name in TENSORS:
            w, state = after_steps(rule_of(name), name)
            out[f"{case}.w.{name}"] = w
            out |= {f"{case}.{key}.{name}": value for key, value in state.items()}
    write(HERE / "rules.safetensors", out)


# ---------------------------------------------------------------- the rules by optax


def by_optax(rule, name, view):
    w = jnp.array(view(weight(name)))
    s = rule.init(w)
    for t in range(1, N_STEPS + 1):
        updates, s = rule.update(jnp.array(view(gradient(name, t))), s, w)
        w = w + updates
    return w


def checks():
    """Our rule, that of optax, and the tensors for which they are the same."""
    import optax
    from optax import contrib

    every = list(TENSORS)
    l2 = optax.add_decayed_weights(0.05)
    yield Sgd(), optax.sgd(LR), every
    yield Sgd(momentum=0.9), optax.sgd(LR, momentum=0.9), every
    nesterov = optax.chain(l2, optax.sgd(LR, momentum=0.9, nesterov=True))
    yield Sgd(momentum=0.9, nesterov=True, l2=0.05), nesterov, every
    yield Adam(l2=0.05), optax.chain(l2, optax.adam(LR)), every
    yield AdamW(decay=0.1), optax.adamw(LR, b2=0.95, weight_decay=0.1), every
    yield Lion(decay=0.1), optax.lion(LR, weight_decay=0.1), every
    yield Lamb(decay=0.1), optax.lamb(LR, weight_decay=0.1), every
    # With weight decay optax has the norm of the sum where the paper has the sum of the norms.
    yield Lars(), optax.lars(LR, trust_coefficient=0.001, eps=1e-9), every
    factored = optax.adafactor(min_dim_size_to_factor=1, multiply_by_parameter_scale=False)
    decayed = optax.chain(factored, optax.add_decayed_weights(-0.1), optax.scale(LR))
    yield Adafactor(decay=0.1), decayed, every
    # Nesterov's momentum has another scale there, and nothing keeps it from dividing by zero here.
    plain = dict(beta=0.95, eps=0.0, nesterov=False, consistent_rms=0.2, weight_decay=0.1)
    yield Muon(nesterov=False, eps=0.0, decay=0.1), contrib.muon(LR, **plain), MATRICES


def check_rules():
    for rule, other, names in checks():
        for name in names:
            view = as_matrix if rule.MATRIX else lambda x: x
            gap = np.abs(by_optax(other, name, view) - after_steps(rule, name)[0]).max()
            print(f"{type(rule).__name__:10} {name:8} {gap:.1e} from optax")
            # The decay of Adafactor's moments is in float32 there; the rest is below 1e-15.
            assert gap < 1e-8


if __name__ == "__main__":
    make_gpt()
    make_rules()
    check_rules()
