"""The standard sweep of bench/sweep.mjs as an expert writes it in PyTorch on a CPU: 1008 patches of BLIP-VQA-base in both modalities of a
pair. Image features once per image, cross-attention's keys and values of them once per layer, patches of one site and layer in
batches of 48, each from its layer on.

    python3 bench/peers/torch_blip_sweep.py [--batch 48] [--json FILE]

Weights and inputs follow from the formula of test/fixtures/blip-vqa-base-formula; the fixture's logits and patch effects, which
Hugging Face's implementation gave, are checked before a time is printed. Only the sweep is timed, from pixels to numbers.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

FIXTURE = Path(__file__).parents[2] / "test/fixtures/blip-vqa-base-formula"
GOLDEN = json.loads((FIXTURE / "golden.json").read_text())
LAYERS, HEADS, WIDTH = 12, 12, 768
START, ANSWER_POSITION = 30522, 5
SITES = ["attn.hook_z", "cross_attn.hook_z", "hook_mlp_out"]


def formula(name, shape, offset, scale):
    start = 0x811C9DC5
    for byte in name.encode():
        start = ((start ^ byte) * 0x01000193) & 0xFFFFFFFF
    x = (np.arange(int(np.prod(shape)), dtype=np.uint64) * 0x9E3779B9 + start).astype(np.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    u = (x >> np.uint32(8)) * 2.0**-24 - 0.5
    return torch.from_numpy((offset + (u * np.float32(scale)).astype(np.float32)).astype(np.float32).reshape(shape))


def weights():
    tensors = {}
    for name, shape in GOLDEN["weights"]["tensors"].items():
        rule = next(rule for rule in GOLDEN["weights"]["rules"] if re.search(rule["pattern"], name))
        scale = rule["scale"] if "gain" not in rule else rule["gain"] / np.prod(shape[1:]) ** 0.5
        tensors[name] = formula(name, shape, rule["offset"], scale)
    return tensors


class Blip:
    def __init__(self, tensors):
        self.w = tensors

    def linear(self, x, name):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def norm(self, x, name, eps):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps)

    def features(self, pixels):
        v, w = "vision_model", self.w
        patches = F.conv2d(pixels[None], w[f"{v}.embeddings.patch_embedding.weight"], w[f"{v}.embeddings.patch_embedding.bias"], stride=16)
        x = torch.cat([w[f"{v}.embeddings.class_embedding"], patches.flatten(2).transpose(1, 2)], 1) + w[f"{v}.embeddings.position_embedding"]
        for layer in range(LAYERS):
            at = f"{v}.encoder.layers.{layer}"
            q, k, val = (self.split(part) for part in self.linear(self.norm(x, f"{at}.layer_norm1", 1e-5), f"{at}.self_attn.qkv").chunk(3, -1))
            x = x + self.linear(self.join(F.scaled_dot_product_attention(q, k, val)), f"{at}.self_attn.projection")
            hidden = F.gelu(self.linear(self.norm(x, f"{at}.layer_norm2", 1e-5), f"{at}.mlp.fc1"))
            x = x + self.linear(hidden, f"{at}.mlp.fc2")
        return self.norm(x, f"{v}.post_layernorm", 1e-5)

    @staticmethod
    def split(x):
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    @staticmethod
    def join(z):
        return z.transpose(1, 2).flatten(2)

    def keys(self, tower, features):
        """Of one memory [1, positions, width], for all layers."""
        at = f"{tower}.encoder.layer.%d.crossattention.self"
        return [[self.split(self.linear(features, f"{at % layer}.{part}")) for part in ("key", "value")] for layer in range(LAYERS)]

    def embed(self, tower, ids):
        e, w = f"{tower}.embeddings", self.w
        x = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.position_embeddings.weight"][: ids.shape[-1]]
        return self.norm(x, f"{e}.LayerNorm", 1e-12)

    def block(self, tower, layer, x, keys, patch=None, seen=None):
        """keys of [1 or batch, …]; patch(site, value) changes an activation, seen keeps it."""
        at = f"{tower}.encoder.layer.{layer}"

        def pass_site(site, value):
            if seen is not None:
                seen[site, layer] = value
            return patch(site, value) if patch else value

        a = f"{at}.attention.self"
        q, k, v = (self.split(self.linear(x, f"{a}.{part}")) for part in ("query", "key", "value"))
        z = pass_site("attn.hook_z", self.join(F.scaled_dot_product_attention(q, k, v)))
        x = self.norm(self.linear(z, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm", 1e-12)
        q = self.linear(x, f"{at}.crossattention.self.query")
        k, v = keys[layer]
        shared = k.shape[0] == 1 < q.shape[0]
        # Runs that see the same image are more queries of the same keys.
        z = self.join(F.scaled_dot_product_attention(self.split(q.flatten(0, 1)[None] if shared else q), k, v))
        z = pass_site("cross_attn.hook_z", z.view_as(q))
        x = self.norm(self.linear(z, f"{at}.crossattention.output.dense") + x, f"{at}.crossattention.output.LayerNorm", 1e-12)
        hidden = F.gelu(self.linear(x, f"{at}.intermediate.dense"))
        out = pass_site("hook_mlp_out", self.linear(hidden, f"{at}.output.dense"))
        return self.norm(out + x, f"{at}.output.LayerNorm", 1e-12)

    def encode(self, x, keys, first=0, patch=None, seen=None, inputs=None):
        for layer in range(first, LAYERS):
            if inputs is not None:
                inputs.append(x)
            x = self.block("text_encoder", layer, x, keys, patch if layer == first else None, seen)
        return x

    def logits(self, questions):
        x = self.embed("text_decoder.bert", torch.tensor([[START]])).expand(questions.shape[0], 1, WIDTH)
        for layer in range(LAYERS):
            at = f"text_decoder.bert.encoder.layer.{layer}.crossattention.self"
            keys = {layer: [self.split(self.linear(questions, f"{at}.{part}")) for part in ("key", "value")]}
            x = self.block("text_decoder.bert", layer, x, keys)
        head = "text_decoder.cls.predictions"
        x = self.norm(F.gelu(self.linear(x[:, 0], f"{head}.transform.dense")), f"{head}.transform.LayerNorm", 1e-12)
        return self.linear(x, f"{head}.decoder")


def numbers(patched, corrupt):
    """P' - P*, restoration of P aside, LD' - LD*, as far as they are compared with the fixture: by logits and log-softmax."""
    right, wrong = GOLDEN["correct_token"], GOLDEN["incorrect_token"]
    difference = lambda x: x[..., right] - x[..., wrong]
    probability = lambda x: torch.exp(x[..., right] - x.logsumexp(-1))
    return torch.stack([probability(patched), probability(patched) - probability(corrupt), difference(patched) - difference(corrupt)], -1)


def sweep(blip, batch):
    pixels = {name: formula(name, (3, 384, 384), 0, 4) for name in set(GOLDEN["pixel_values"].values())}
    keys = {name: blip.keys("text_encoder", blip.features(image)) for name, image in pixels.items()}
    results, logits = {}, {}

    def run(name):
        inputs, seen = [], {}
        x = blip.embed("text_encoder", torch.tensor([GOLDEN["input_ids"][name]]))
        own = keys[GOLDEN["pixel_values"][name]]
        logits[name] = blip.logits(blip.encode(x, own, inputs=inputs, seen=seen))
        return own, inputs, seen

    _, _, clean = run("clean")
    for modality in ("corrupt_image", "corrupt_text"):
        own, inputs, _ = run(modality)
        positions = inputs[0].shape[1]
        for site in SITES:
            for layer in range(LAYERS):
                cells = [(position, None) for position in range(positions)]
                if site == "cross_attn.hook_z":
                    cells += [(ANSWER_POSITION, head) for head in range(HEADS)]
                for first in range(0, len(cells), batch):
                    part = cells[first : first + batch]

                    def patch(at, value, part=part, site=site, layer=layer):
                        if at != site:
                            return value
                        value = value.clone()
                        for i, (position, head) in enumerate(part):
                            columns = slice(None) if head is None else slice(head * 64, head * 64 + 64)
                            value[i, position, columns] = clean[site, layer][0, position, columns]
                        return value

                    x = inputs[layer].expand(len(part), -1, -1)
                    patched = blip.logits(blip.encode(x, own, layer, patch))
                    for cell, row in zip(part, numbers(patched, logits[modality])):
                        results[modality, site, layer, *cell] = row
    return results, logits


def golden_tensors():
    data = (FIXTURE / "golden.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    kinds = {"F32": np.float32, "F64": np.float64}

    def read(name):
        first, end = header[name]["data_offsets"]
        values = np.frombuffer(data[8 + size + first : 8 + size + end], kinds[header[name]["dtype"]])
        return torch.from_numpy(values.copy()).reshape(header[name]["shape"])

    return read


def check(results, logits):
    read = golden_tensors()
    for name, found in logits.items():
        expected = read(f"{name}/logits")
        assert (found[0] - expected).abs().max() <= 1e-4 * expected.abs().max(), f"logits of {name}"
    worst, checked = 0.0, 0
    for modality in ("corrupt_image", "corrupt_text"):
        for cell, expected in zip(GOLDEN["patch cells"], read(f"patch_f64/{modality}")):
            site = cell["site"].removeprefix("text_encoder.")
            found = results.get((modality, site, cell["layer"], cell["position"], cell["head"]))
            if found is None:
                continue  # the fixture has heads of self-attention, too
            checked += 1
            worst = max(worst, abs(found[2].item() - expected[2].item()))
    assert checked > 0
    assert worst <= 5e-5, f"LD' - LD* is off by {worst}"
    return worst, checked


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--json")
    options = parser.parse_args()
    with torch.inference_mode():
        blip = Blip(weights())
        wall, cpu = time.perf_counter(), time.process_time()
        results, logits = sweep(blip, options.batch)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        worst, checked = check(results, logits)
    print(
        f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, batches of {options.batch}: {len(results)} patches in "
        f"{wall:.1f} s, {cpu:.1f} s of processor time; LD' - LD* of {checked} within {worst:.1e} of the fixture"
    )
    if options.json:
        figures = dict(torch=torch.__version__, cells=len(results), seconds=wall, cpuSeconds=cpu, worst=worst)
        Path(options.json).write_text(json.dumps(figures))


main()
