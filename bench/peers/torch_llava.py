"""LLaVA-1.5 at 7B's dimensions with random weights in plain PyTorch, on CUDA: what bench/llava-7b.mjs measures, and the products
of `notice bench --tune`, so that both stand beside each other.

    python3 bench/peers/torch_llava.py [--layers 4] [--tokens 16] [--short] [--json FILE]

CLIP ViT-L/14-336 (23 of 24 blocks are read), projector, LLaMA blocks with a key-value cache; attention by
scaled_dot_product_attention, weights f16. Times are medians between synchronisations.
"""

import argparse
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("PyTorch is not installed for this python3: nothing measured")
    sys.exit(0)

VISION = dict(width=1024, mlp=4096, heads=16, blocks=23, positions=577)
TEXT = dict(width=4096, mlp=11008, heads=32, vocabulary=32064)
PROMPT = 603
# m, n, k as in src/kernels/tuning.ts
PRODUCTS = [(1, 4096, 4096), (4, 4096, 4096), (32, 3072, 768), (577, 768, 768), (2308, 3072, 768)]


def median_ms(run, rounds):
    run()
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def products(rounds):
    """Chains of 50, as the tuner's."""
    figures = []
    for kind, dtype, tf32 in [("f32", torch.float32, False), ("tf32", torch.float32, True), ("f16", torch.float16, False)]:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        for m, n, k in PRODUCTS:
            a, w = random(m, k, dtype=dtype), random(n, k, dtype=dtype)
            ms = median_ms(lambda: [F.linear(a, w) for _ in range(50)], rounds) / 50
            figures.append(dict(kind=kind, m=m, n=n, k=k, ms=ms, flops=2e3 * m * n * k / ms))
    torch.backends.cuda.matmul.allow_tf32 = False
    return figures


def random(*shape, dtype=torch.float16):
    return (torch.rand(*shape, device="cuda", dtype=torch.float32) - 0.5).to(dtype) / shape[-1] ** 0.5


def attention(qkv, heads, causal, cache=None):
    rows = qkv.shape[0]
    q, k, v = (part.view(rows, heads, -1).transpose(0, 1) for part in qkv.chunk(3, dim=-1))
    if cache is not None:
        k, v = (torch.cat([old, new], dim=1) for old, new in zip(cache, (k, v)))
    z = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]
    return z.transpose(0, 1).reshape(rows, -1), (k, v)


class Block:
    """Both towers': normalised before, the language model's with a gate."""

    def __init__(self, width, mlp, gated):
        self.qkv, self.out = random(3 * width, width), random(width, width)
        self.up, self.down = random(mlp, width), random(width, mlp)
        self.gate = random(mlp, width) if gated else None
        self.norms = torch.ones(2, width, device="cuda", dtype=torch.float16)

    def __call__(self, x, heads, causal, cache=None):
        width = x.shape[-1]
        norm = (lambda x, w: F.rms_norm(x, (width,), w)) if self.gate is not None else (lambda x, w: F.layer_norm(x, (width,), w))
        z, cache = attention(F.linear(norm(x, self.norms[0]), self.qkv), heads, causal, cache)
        x = x + F.linear(z, self.out)
        y = norm(x, self.norms[1])
        hidden = F.silu(F.linear(y, self.gate)) * F.linear(y, self.up) if self.gate is not None else F.gelu(F.linear(y, self.up))
        return x + F.linear(hidden, self.down), cache


class Llava:
    def __init__(self, layers):
        self.vision = [Block(VISION["width"], VISION["mlp"], False) for _ in range(VISION["blocks"])]
        self.projector = [random(TEXT["width"], VISION["width"]), random(TEXT["width"], TEXT["width"])]
        self.text = [Block(TEXT["width"], TEXT["mlp"], True) for _ in range(layers)]
        self.head = random(TEXT["vocabulary"], TEXT["width"])

    def prompt(self, patches, words):
        x = patches
        for block in self.vision:
            x, _ = block(x, VISION["heads"], False)
        first, second = self.projector
        x = torch.cat([F.linear(F.gelu(F.linear(x[1:], first)), second), words])
        caches = []
        for block in self.text:
            x, cache = block(x, TEXT["heads"], True)
            caches.append(cache)
        return F.linear(x[-1:], self.head), caches

    def token(self, word, caches):
        x = word
        for i, block in enumerate(self.text):
            x, caches[i] = block(x, TEXT["heads"], False, caches[i])
        return F.linear(x, self.head)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device here: nothing measured")
        sys.exit(0)
    rounds = 2 if options.short else 20
    report = dict(device=torch.cuda.get_device_name(), torch=torch.__version__, layers=options.layers)
    with torch.inference_mode():
        report["products"] = products(rounds)
        model = Llava(options.layers)
        patches = random(VISION["positions"], VISION["width"])
        words = random(PROMPT - VISION["positions"] + 1, TEXT["width"])
        report["forwardMs"] = median_ms(lambda: model.prompt(patches, words), rounds)
        _, caches = model.prompt(patches, words)
        word = random(1, TEXT["width"])
        steps = [median_ms(lambda: model.token(word, list(caches)), rounds) for _ in range(options.tokens)]
        report["tokenMs"] = statistics.median(steps)
    print(f"{report['device']}, PyTorch {report['torch']}")
    for row in report["products"]:
        print(f"{row['kind']:5} {row['m']} x {row['k']} x {row['n']}: {row['ms']:.4f} ms, {row['flops'] / 1e9:.4g} GFLOP/s")
    print(f"forward of {PROMPT} positions {report['forwardMs']:.2f} ms, a further token {report['tokenMs']:.3f} ms")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file)


main()
