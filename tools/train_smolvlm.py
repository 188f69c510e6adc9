#!/usr/bin/env python3
"""Train `smolvlm-shapes`: a miniature SmolVLMForConditionalGeneration on the same data as blip-shapes and llava-shapes.

SigLIP tower of 64 patches, pixel shuffle 2 (16 features of 2 x 2 patches), LLaMA decoder with grouped key heads, byte-level
BPE of its own, tiles switched off. Prompt, as SmolVLM's chat template writes and its processor expands it:
  <|im_start|>User:<fake_token_around_image><global-img><image> x 16<fake_token_around_image>{question}<end_of_utterance>
  Assistant: {answer}<end_of_utterance>

  python train_smolvlm.py train  --blip ../weights/blip-shapes --llava ../weights/llava-shapes --minutes 60
  python train_smolvlm.py export --out smolvlm-shapes
  python train_smolvlm.py eval    --model smolvlm-shapes --data ../data --report evaluation-smolvlm.json
  python train_smolvlm.py analyse --model smolvlm-shapes --data ../data --report analysis-smolvlm.json

Needs transformers 5.24, and the images of make_shapes.py (see train_shapes.py). The vision tower starts from blip-shapes' and
the decoder from llava-shapes', whose pairs of key heads are averaged into one; both are then trained as a whole, with the
per-patch and noun losses of the other two; to a picture without content the answer is "neither". All questions of an image share its tokens (block-diagonal causal mask); this is
checked against the plain forward pass.
"""
import argparse
import collections
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

import make_shapes as M
from train_llava import dump, merge, words
from train_shapes import KINDS, MEAN, STD, Data, NounHead, PatchHeads

SHUFFLE = 2
NIMG = (M.GRID // SHUFFLE) ** 2
WIDTH, LAYERS, HEADS, KEY_HEADS = 128, 6, 4, 2

# ----------------------------------------------------------------------------- byte-level BPE
FIRST = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LAST = ["<global-img>", "<fake_token_around_image>", "<image>", "<end_of_utterance>"]
ROLES = {"User": ("Us", "er"), "Assistant": ("Ass", "ist", "ant")}      # several pieces, as in SmolVLM


def learn_bpe():
    """Merges learned on the closed set of words, one unit per piece, so that no token spans what should be two."""
    units = collections.Counter()
    for w in M.PROMPT_WORDS + M.SHAPES + M.RELATIONS + list(M.COLORS) + M.SIZES + M.TEXTURES + M.EMOTIONS:
        for k, p in enumerate(M.TWO_PIECE.get(w, (w,))):
            units[("Ġ" if k == 0 else "") + p.replace("##", "")] += 5
    for w in ("is", "does", "what", "which"):                            # what a question begins with
        units[w] += 20
    for parts in ROLES.values():
        for p in parts:
            units[p] += 20
    seqs = {u: list(u) for u in units}
    merges = []
    while True:
        pairs = collections.Counter()
        for u, s in seqs.items():
            for pair in zip(s, s[1:]):
                pairs[pair] += units[u]
        if not pairs:
            return merges
        best = max(pairs.items(), key=lambda t: (t[1], -len(t[0][0] + t[0][1]), t[0]))[0]
        merges.append(best)
        seqs = {u: merge(s, best) for u, s in seqs.items()}


def tokenizer():
    merges = learn_bpe()
    pieces = list(dict.fromkeys(a + b for a, b in merges))
    words = FIRST + sorted(pre_tokenizers.ByteLevel.alphabet()) + pieces
    t = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(FIRST + LAST)
    return t


T = tokenizer()
VOCAB = T.get_vocab_size()
PADT, BOS = T.token_to_id("<|im_end|>"), T.token_to_id("<|im_start|>")
IMAGE, EOS = T.token_to_id("<image>"), T.token_to_id("<end_of_utterance>")
ids_of = lambda text: T.encode(text, add_special_tokens=False).ids
AROUND = "<fake_token_around_image>"
PREFIX = ids_of("<|im_start|>User:" + AROUND + "<global-img>" + "<image>" * NIMG + AROUND)
FIRST_IMAGE = PREFIX.index(IMAGE)
TAIL = 40
NEITHER = ids_of(" neither") + [EOS]
# CLIP's mean colour, as for the other two; in SmolVLM's own pixels all zeros would be padding to transformers.
BLANK = (torch.tensor(MEAN)[:, None, None] - 0.5) / 0.5
TEMPLATE = ("<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
            "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
            "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
            "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
            "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")


def tail(question, answer=None):
    """Token ids after the image; the answer, if given, follows 'Assistant:' and ends with <end_of_utterance>."""
    ids = ids_of(f"{question}<end_of_utterance>\nAssistant:")
    return (ids if answer is None else ids + ids_of(f" {answer}") + [EOS]), len(ids)


# ----------------------------------------------------------------------------- model
def config():
    return SmolVLMConfig(
        vision_config=dict(hidden_size=WIDTH, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
                           image_size=M.SIZE, patch_size=M.PATCH, hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6),
        text_config=dict(model_type="llama", vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=344, num_hidden_layers=LAYERS,
                         num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, head_dim=WIDTH // HEADS,
                         max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0, bos_token_id=BOS,
                         eos_token_id=EOS, pad_token_id=PADT, tie_word_embeddings=False),
        scale_factor=SHUFFLE, image_token_id=IMAGE, pad_token_id=PADT, tie_word_embeddings=False)


@torch.no_grad()
def build(args):
    torch.manual_seed(args.seed)
    m = SmolVLMForConditionalGeneration(config())
    for mod in m.modules():
        if isinstance(mod, nn.Linear):
            nn.init.xavier_uniform_(mod.weight)
            if mod.bias is not None:
                nn.init.zeros_(mod.bias)
    nn.init.normal_(m.model.text_model.embed_tokens.weight, std=0.3)
    vision_from_blip(m.model.vision_model, load_file(os.path.join(args.blip, "model.safetensors")))
    decoder_from_llava(m, args.llava)
    return m


def vision_from_blip(v, sd):
    """Same layers; no class token, and pixels in -1 … 1 in place of CLIP's mean and deviation."""
    b = lambda n: sd["vision_model." + n].float()
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    w = b("embeddings.patch_embedding.weight")
    v.embeddings.patch_embedding.weight.copy_(w * 0.5 / std)
    v.embeddings.patch_embedding.bias.copy_(b("embeddings.patch_embedding.bias") + (w * (0.5 - mean) / std).sum((1, 2, 3)))
    v.embeddings.position_embedding.weight.copy_(b("embeddings.position_embedding")[0, 1:])
    pairs = [("post_layernorm", v.post_layernorm)]
    for i, l in enumerate(v.encoder.layers):
        p = f"encoder.layers.{i}."
        for k, n in enumerate(("q_proj", "k_proj", "v_proj")):
            getattr(l.self_attn, n).weight.copy_(b(p + "self_attn.qkv.weight").chunk(3)[k])
            getattr(l.self_attn, n).bias.copy_(b(p + "self_attn.qkv.bias").chunk(3)[k])
        pairs += [(p + "self_attn.projection", l.self_attn.out_proj), (p + "mlp.fc1", l.mlp.fc1), (p + "mlp.fc2", l.mlp.fc2),
                  (p + "layer_norm1", l.layer_norm1), (p + "layer_norm2", l.layer_norm2)]
    for name, module in pairs:
        module.weight.copy_(b(name + ".weight"))
        module.bias.copy_(b(name + ".bias"))


def decoder_from_llava(m, folder):
    """Same layers with the key and value heads averaged in pairs; embeddings and head by the pieces' texts."""
    sd = load_file(os.path.join(folder, "model.safetensors"))
    g = lambda n: sd["language_model." + n].float()
    t = m.model.text_model
    for i, l in enumerate(t.layers):
        p = f"model.layers.{i}."
        for n in ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm",
                  "post_attention_layernorm"):
            l.get_submodule(n).weight.copy_(g(p + n + ".weight"))
        for n in ("self_attn.k_proj", "self_attn.v_proj"):
            l.get_submodule(n).weight.copy_(g(p + n + ".weight").view(KEY_HEADS, HEADS // KEY_HEADS, -1, WIDTH).mean(1).reshape(-1, WIDTH))
    t.norm.weight.copy_(g("model.norm.weight"))
    with open(os.path.join(folder, "tokenizer.json")) as fh:
        old = json.load(fh)["model"]["vocab"]
    for piece, i in T.get_vocab().items():
        j = old.get({"<end_of_utterance>": "</s>", "<|im_start|>": "<s>"}.get(piece, piece.replace("Ġ", "▁")))
        if j is not None:
            t.embed_tokens.weight[i] = g("model.embed_tokens.weight")[j]
            m.lm_head.weight[i] = g("lm_head.weight")[j]


def vision(m, px):
    """[B,3,64,64] -> features of the patches behind the last norm [B,64,D]."""
    v = m.model.vision_model
    h = v.embeddings.patch_embedding(px).flatten(2).transpose(1, 2) + v.embeddings.position_embedding.weight
    for l in v.encoder.layers:
        b, n, d = h.shape
        y = l.layer_norm1(h)
        q, k, w = (p(y).view(b, n, 4, d // 4).transpose(1, 2) for p in
                   (l.self_attn.q_proj, l.self_attn.k_proj, l.self_attn.v_proj))
        h = h + l.self_attn.out_proj(F.scaled_dot_product_attention(q, k, w).transpose(1, 2).reshape(b, n, d))
        h = h + l.mlp(l.layer_norm2(h))
    return v.post_layernorm(h)


_MASKS = {}


def packed_mask(nq, lt):
    """A question sees the prefix and itself; its positions follow the prefix."""
    if (nq, lt) not in _MASKS:
        p, n = len(PREFIX), len(PREFIX) + nq * lt
        ok = torch.zeros(n, n, dtype=torch.bool)
        ok[:p, :p] = torch.ones(p, p, dtype=torch.bool).tril()
        for j in range(nq):
            s = slice(p + j * lt, p + (j + 1) * lt)
            ok[s, :p] = True
            ok[s, s] = torch.ones(lt, lt, dtype=torch.bool).tril()
        pos = torch.cat([torch.arange(p)] + [torch.arange(p, p + lt)] * nq)
        _MASKS[nq, lt] = (torch.where(ok, 0.0, torch.finfo(torch.float32).min)[None, None], pos[None])
    return _MASKS[nq, lt]


SHAPE_OF = torch.full((VOCAB,), -1.0)                  # token id of a shape's first piece -> shape
for _i, _s in enumerate(M.SHAPES):
    SHAPE_OF[ids_of(" " + _s)[0]] = _i


def forward(m, px, t, keep=None):
    """px [B,3,64,64]; t [B,Q,T] tails -> (patch features [B,64,D], hidden states of the tails [B,Q,T,D]).
    keep: list that receives the tails' hidden states after the third layer, for NounHead"""
    h = vision(m, px)
    img = m.model.connector(h)
    b, nq, lt = t.shape
    emb = m.model.text_model.embed_tokens
    pre = emb(torch.tensor(PREFIX)).expand(b, -1, -1)
    x = torch.cat([pre[:, :FIRST_IMAGE], img, pre[:, FIRST_IMAGE + NIMG:], emb(t.reshape(b, -1))], 1)
    mask, pos = packed_mask(nq, lt)
    y = m.model.text_model(inputs_embeds=x, attention_mask=mask.expand(b, -1, -1, -1), position_ids=pos, use_cache=False,
                           output_hidden_states=keep is not None)
    cut = lambda v: v[:, len(PREFIX):].reshape(b, nq, lt, -1)
    if keep is not None:
        keep.append(cut(y.hidden_states[3]))
    return h, cut(y.last_hidden_state)


def answer_loss(m, y, t, start):
    """start [B,Q]: length of the tail before the answer. Loss on the answer's tokens and its end only."""
    at = torch.arange(t.shape[-1])
    target = torch.roll(t, -1, -1)
    on = (at >= start[..., None] - 1) & (target != PADT) & (at < t.shape[-1] - 1)
    o = m.lm_head(y[on])
    bad = torch.zeros(on.shape, dtype=torch.bool)
    bad[on] = o.argmax(-1) != target[on]
    return F.cross_entropy(o, target[on]), ~bad.any(-1)


# ----------------------------------------------------------------------------- data
class Packed(Data):
    def __init__(self, path):
        super().__init__(path)
        n, k = self.q.shape[:2]
        rows = np.concatenate([self.q.reshape(n * k, -1), self.a.reshape(n * k, -1)], 1)
        uniq, inv = np.unique(rows, axis=0, return_inverse=True)
        self.t = np.full((len(uniq), TAIL), PADT, np.int16)
        self.s = np.zeros(len(uniq), np.int16)
        for i, r in enumerate(uniq):
            ids, self.s[i] = tail(words(r[:M.QLEN]), words(r[M.QLEN:]))
            self.t[i, :len(ids)] = ids
        self.inv = inv.reshape(n, k)

    def pixels(self, ids, augment=False):
        """Normalised as SmolVLM's processor does: (x / 255 - 0.5) / 0.5."""
        x, _, _, idx, attr, _ = self.batch(ids, None, 1, augment)
        mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
        return (x * std + mean - 0.5) / 0.5, idx, attr

    def packed(self, ids, rng=None, nq=4, augment=False, blank=0.0):
        x, idx, attr = self.pixels(ids, augment)
        sel = np.tile(np.arange(nq), (len(ids), 1)) if rng is None else rng.random((len(ids), self.q.shape[1])).argsort(1)[:, :nq]
        u = self.inv[ids[:, None], sel]
        t = self.t[u].astype(np.int64)
        if blank > 0:                                  # nothing to see: the answer is "neither", whatever is asked
            for i in np.flatnonzero(rng.random(len(ids)) < blank):
                x[i] = BLANK
                for row, start in zip(t[i], self.s[u[i]]):
                    row[start:] = PADT
                    row[start:start + len(NEITHER)] = NEITHER
        t = t[..., :int((t != PADT).sum(-1).max())]
        return x, torch.from_numpy(t), torch.from_numpy(self.s[u].astype(np.int64)), idx, attr, self.kind[ids[:, None], sel]


@torch.no_grad()
def held_out(m, ph, data, limit=None, nq=4):
    """Teacher-forced exact match (= greedy exact match) per task and kind; per-patch accuracy."""
    n = len(data.img)
    ids_all = np.arange(n) if limit is None else np.random.default_rng(0).permutation(n)[:limit]
    hits, kinds, tasks, accs = [], [], [], []
    for b in range(0, len(ids_all), 100):
        ids = ids_all[b:b + 100]
        x, t, s, idx, attr, kind = data.packed(ids, nq=nq)
        h, y = forward(m, x, t)
        hits.append(answer_loss(m, y, t, s)[1].reshape(-1).numpy())
        kinds.append(kind.reshape(-1))
        tasks.append(np.repeat(data.task[ids], nq))
        accs.append(ph(h, idx, attr)[1])
    hits, kinds, tasks = map(np.concatenate, (hits, kinds, tasks))
    r = {t: round(float(hits[tasks == i].mean()), 4) for i, t in enumerate(M.TASKS)}
    r.update({k: round(float(hits[kinds == i].mean()), 4) for i, k in enumerate(KINDS)})
    r["patch"] = [round(float(v), 3) for v in np.nanmean(np.array(accs), 0)]
    return r


@torch.no_grad()
def check(m, data):
    x, t, s, *_ = data.packed(np.arange(3) * 1000, nq=2)
    mine = m.lm_head(forward(m, x, t)[1])
    err = 0.0
    for i in range(3):
        for j in range(2):
            ids = torch.tensor([PREFIX + t[i, j].tolist()])
            ref = m(input_ids=ids, pixel_values=x[i:i + 1, None], attention_mask=torch.ones_like(ids)).logits
            n = int((t[i, j] != PADT).sum())
            err = max(err, (ref[0, len(PREFIX):len(PREFIX) + n] - mine[i, j, :n]).abs().max().item())
    print("packed forward vs HF: max |difference|", err)
    assert err < 5e-3


# ----------------------------------------------------------------------------- training
def train(args):
    torch.set_num_threads(args.threads)
    data, held = Packed(os.path.join(args.cache, "train.npz")), Packed(os.path.join(args.cache, "held.npz"))
    m, ph, nh = build(args), PatchHeads(), NounHead()
    if args.resume:
        ck = torch.load(args.resume, weights_only=True)
        for module, name in ((m, "model"), (ph, "heads"), (nh, "noun")):
            module.load_state_dict(ck[name])
        print("from", args.resume, ck["note"])
    check(m, held)
    slow = list(m.model.vision_model.parameters())
    fast = [p for n, p in m.named_parameters() if "vision_model" not in n] + list(ph.parameters()) + list(nh.parameters())
    groups = []
    for ps, k in ((slow, args.vision_lr), (fast, 1.0)):
        groups += [dict(params=[p for p in ps if p.dim() >= 2], weight_decay=0.05, k=k),
                   dict(params=[p for p in ps if p.dim() < 2], weight_decay=0.0, k=k)]
    opt = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=True)
    rng = np.random.default_rng(args.seed + 1)
    order, pos, step, log = rng.permutation(len(data.img)), 0, 0, []
    t0 = shown = time.time()
    while True:
        done = step / args.steps if args.steps else (time.time() - t0) / (args.minutes * 60)
        if done >= 1:
            break
        lr = args.lr * min(1.0, (step + 1) / args.warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for g in opt.param_groups:
            g["lr"] = lr * g["k"]
        if pos + args.batch > len(order):
            order, pos = rng.permutation(len(data.img)), 0
        ids = order[pos:pos + args.batch]
        pos += args.batch
        x, t, s, idx, attr, kind = data.packed(ids, rng, args.questions, augment=True, blank=args.blank)
        mid = []
        h, y = forward(m, x, t, mid)
        lv, hit = answer_loss(m, y, t, s)
        lp, acc = ph(h, idx, attr)
        inside = torch.arange(t.shape[-1]) < s[..., None]          # the question, not the answer
        ln, far = nh(mid[0], torch.where(inside, t, PADT), attr, SHAPE_OF)
        acc += [far, hit[torch.from_numpy(kind == KINDS.index("relation"))].float().mean().item()]
        opt.zero_grad(set_to_none=True)
        (lv + args.patch_weight * lp + args.noun_weight * ln).backward()
        nn.utils.clip_grad_norm_(slow + fast, 1.0)
        opt.step()
        step += 1
        log.append((lv.item(), lp.item(), hit.float().mean().item()))
        if step % args.log_every == 0:
            l = np.mean(log[-args.log_every:], 0)
            print(f"{step} {(time.time() - t0) / 60:.1f}min lr {lr:.1e} vqa {l[0]:.4f} patch {l[1]:.3f} em {l[2]:.3f}",
                  [round(v, 2) for v in acc], flush=True)
        if time.time() - shown > args.eval_every * 60:
            print("held", step, json.dumps(held_out(m, ph, held, 600)), flush=True)
            save(m, ph, nh, args, step, t0)
            shown = time.time()
    save(m, ph, nh, args, step, t0)
    print("held", step, json.dumps(held_out(m, ph, held)), flush=True)


def save(m, ph, nh, args, step, t0):
    note = dict(steps=step, minutes=round((time.time() - t0) / 60, 1), batch=args.batch, lr=args.lr)
    torch.save(dict(model=m.state_dict(), heads=ph.state_dict(), noun=nh.state_dict(), note=note), args.ckpt + ".tmp")
    os.replace(args.ckpt + ".tmp", args.ckpt)
    print("saved", note, flush=True)


# ----------------------------------------------------------------------------- export
def write_inputs(out):
    """Tokenizer, chat template and processor in the file layout of the hub's SmolVLM-256M-Instruct."""
    T.save(os.path.join(out, "tokenizer.json"))
    special = {str(T.token_to_id(t)): dict(content=t, lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
               for t in FIRST + LAST}
    roles = dict(bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>", unk_token="<|endoftext|>")
    dump(os.path.join(out, "special_tokens_map.json"), roles)
    dump(os.path.join(out, "tokenizer_config.json"), {
        "add_prefix_space": False, "added_tokens_decoder": special, **roles, "clean_up_tokenization_spaces": False,
        "model_max_length": 256, "processor_class": "SmolVLMProcessor", "tokenizer_class": "GPT2Tokenizer", "vocab_size": VOCAB})
    dump(os.path.join(out, "chat_template.json"), {"chat_template": TEMPLATE})
    dump(os.path.join(out, "preprocessor_config.json"), {
        "do_convert_rgb": True, "do_image_splitting": False, "do_normalize": True, "do_pad": True, "do_rescale": True,
        "do_resize": True, "image_mean": [0.5] * 3, "image_processor_type": "SmolVLMImageProcessor", "image_std": [0.5] * 3,
        "max_image_size": {"longest_edge": M.SIZE}, "processor_class": "SmolVLMProcessor", "resample": 1,
        "rescale_factor": 0.00392156862745098, "size": {"longest_edge": M.SIZE}})
    dump(os.path.join(out, "processor_config.json"), {"image_seq_len": NIMG, "processor_class": "SmolVLMProcessor"})


def export(args):
    ck = torch.load(args.ckpt, weights_only=True)
    m = SmolVLMForConditionalGeneration(config())
    m.load_state_dict(ck["model"])
    m.half()
    m.generation_config.update(bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PADT)
    m.save_pretrained(args.out)
    path = os.path.join(args.out, "config.json")
    with open(path) as fh:
        c = json.load(fh)
    for name, keys in (("text_config", ["hidden_act", "attention_bias", "mlp_bias", "head_dim", "max_position_embeddings"]),
                       ("vision_config", ["hidden_act", "layer_norm_eps", "num_channels"])):
        c[name] = {**c[name], **{k: getattr(getattr(m.config, name), k) for k in keys}}
    c["text_config"]["rope_theta"] = 10000.0               # where releases before 5 look for it
    dump(path, c)
    write_inputs(args.out)
    print("exported", ck["note"], {f: os.path.getsize(os.path.join(args.out, f)) for f in sorted(os.listdir(args.out))})


# ----------------------------------------------------------------------------- evaluation with HF generate
@torch.no_grad()
def evaluate(args):
    """HF generate(), greedy, one question per sequence (no packing), left padding as HF does."""
    from PIL import Image
    from export_shapes import read_pairs, share
    torch.set_num_threads(args.threads)
    model = SmolVLMForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    normal = lambda u8: ((torch.from_numpy(u8).float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous()

    def load(rows, key):
        return normal(np.stack([np.asarray(Image.open(os.path.join(args.data, r[key])).convert("RGB")) for r in rows]))

    def run(px, prompts, mod=model):
        out = []
        for b in range(0, len(prompts), 100):
            seqs = [PREFIX + tail(p)[0] for p in prompts[b:b + 100]]
            n = max(map(len, seqs))
            ids = torch.tensor([[PADT] * (n - len(s)) + s for s in seqs])
            g = mod.generate(input_ids=ids, attention_mask=(ids != PADT).long(), pixel_values=px[b:b + 100, None],
                             do_sample=False, num_beams=1, max_new_tokens=5, pad_token_id=PADT, eos_token_id=EOS)
            out += [T.decode(r[n:].tolist()).strip() for r in g]
        return out

    rep = {"parameters": sum(p.numel() for p in model.parameters())}
    held = Data(os.path.join(args.cache, "held.npz"))
    truth = np.array([words(r) for r in held.a[:, 0]])
    prompts = [words(r) for r in held.q[:, 0]]
    got = np.array(run(normal(held.img), prompts))
    hit = got == truth
    rep["held_out"] = {"images": len(held.img), "questions": int(hit.size),
                       "task": {t: share(hit[held.task == i]) for i, t in enumerate(M.TASKS)},
                       "kind": {k: share(hit[held.kind[:, 0] == i]) for i, k in enumerate(KINDS)}}
    blank = np.array(run(BLANK[None].expand(len(held.img), -1, M.SIZE, M.SIZE), prompts)) == truth
    rep["held_out_blank_image"] = {t: share(blank[held.task == i]) for i, t in enumerate(M.TASKS)}
    if os.path.exists(args.ckpt):
        m32 = SmolVLMForConditionalGeneration(config()).eval()
        m32.load_state_dict(torch.load(args.ckpt, weights_only=True)["model"])
        g32 = np.array(run(normal(held.img), prompts, m32))
        rep["float32_checkpoint"] = {"task": {t: share((g32 == truth)[held.task == i]) for i, t in enumerate(M.TASKS)},
                                     "answers_that_differ_from_float16": int((g32 != got).sum())}
    rep["pairs"] = {}
    for t in M.TASKS:
        rows, _ = read_pairs(args.data, t)
        cl, co = load(rows, "clean_image_path"), load(rows, "corrupt_image_path")
        a, b = (run(x, [r["clean_prompt"] for r in rows]) for x in (cl, co))
        c = run(cl, [r["corrupt_prompt"] for r in rows])
        right, wrong = [r["correct_answer"] for r in rows], [r["incorrect_answer"] for r in rows]
        ok = [x == y for x, y in zip(a, right)]
        rep["pairs"][t] = {
            "pairs": len(rows), "clean_correct": share(ok),
            "corrupt_image_answers_incorrect_option": share([x == y for x, y in zip(b, wrong)]),
            "corrupt_image_still_answers_correct": share([x == y for x, y in zip(b, right)]),
            "corrupt_prompt_answers_correct": share([x == y for x, y in zip(c, right)]),
            "category": {k: share([o for o, r in zip(ok, rows) if r["category"] == k])
                         for k in sorted({r["category"] for r in rows})}}
    print(json.dumps(rep, indent=1))
    if args.report:
        dump(args.report, rep)


# ----------------------------------------------------------------------------- NOTICE-style analysis
@torch.no_grad()
def analyse(args):
    """One head of the decoder at a time (input of o_proj), patched at the tokens of the correct option with the clean run's
    value: mean of LD' - LD* over pairs answered correctly, first token of the answer. All heads of a pair are one batch."""
    from PIL import Image
    from export_shapes import find_span, read_pairs
    torch.set_num_threads(args.threads)
    m = SmolVLMForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    size = WIDTH // HEADS

    def features_of(path):
        u8 = np.asarray(Image.open(os.path.join(args.data, path)).convert("RGB"))
        px = ((torch.from_numpy(u8.copy()).float() / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]
        return m.model.connector(vision(m, px))[0]

    def run(img, ids, batch=1, keep=None, patch=None):
        """Logits of the answer's first token [batch, vocabulary]. keep: list for every layer's z; patch: (positions, z)."""
        hooks = []
        for i, layer in enumerate(m.model.text_model.layers):
            def hook(_, inputs, i=i):
                z = inputs[0]
                if keep is not None:
                    keep.append(z[0].clone())
                if patch is not None:
                    z = z.clone()
                    for h in range(HEADS):
                        s = slice(h * size, (h + 1) * size)
                        z[i * HEADS + h, patch[0], s] = patch[1][i][patch[0], s]
                return (z,)
            hooks.append(layer.self_attn.o_proj.register_forward_pre_hook(hook))
        x = m.model.text_model.embed_tokens(torch.tensor(ids))
        x = torch.cat([x[:FIRST_IMAGE], img, x[FIRST_IMAGE + NIMG:]])
        y = m.model.text_model(inputs_embeds=x.expand(batch, -1, -1), use_cache=False).last_hidden_state
        for h in hooks:
            h.remove()
        return m.lm_head(y[:, -1])

    rep = {"definition": " ".join(analyse.__doc__.split())}
    for task in M.TASKS:
        rows, _ = read_pairs(args.data, task)
        gaps, effects, used = {"clean": [], "image": [], "text": []}, {"image": [], "text": []}, 0
        for r in rows:
            ids, bad = (PREFIX + tail(r[k])[0] for k in ("clean_prompt", "corrupt_prompt"))
            right, wrong = (ids_of(" " + r[k]) for k in ("correct_answer", "incorrect_answer"))
            clean, keep = features_of(r["clean_image_path"]), []
            logits = run(clean, ids, keep=keep)
            if used == args.pairs or int(logits[0].argmax()) != right[0]:
                continue
            used += 1
            difference = lambda v: v[:, right[0]] - v[:, wrong[0]]
            gaps["clean"].append(float(difference(logits)))
            corrupt = features_of(r["corrupt_image_path"])
            for mode, img, prompt in (("image", corrupt, ids), ("text", clean, bad)):
                base = float(difference(run(img, prompt)))
                gaps[mode].append(base)
                patched = run(img, prompt, LAYERS * HEADS, patch=(find_span(ids, right), keep))
                effects[mode].append((difference(patched) - base).view(LAYERS, HEADS).numpy())
        out = {"pairs": used, "logit_gap": {k: round(float(np.mean(v)), 3) for k, v in gaps.items()}}
        for mode, e in effects.items():
            mean, e = np.mean(e, 0, dtype=np.float64), np.asarray(e, np.float64)
            top = np.argsort(-mean.reshape(-1))[:4]
            out[mode] = {"mean_logit_difference": np.round(mean, 4).tolist(),
                         "first_pairs": np.round(e[:2], 5).tolist(),
                         "top": [[f"L{k // HEADS}.H{k % HEADS}", round(float(mean.reshape(-1)[k]), 4)] for k in top]}
        rep[task] = out
        print(task, json.dumps(out), flush=True)
    if args.report:
        dump(args.report, rep)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("cmd", choices=["train", "export", "eval", "analyse", "tokens"])
    ap.add_argument("--cache", default="cache", help="folder of train.npz and held.npz")
    ap.add_argument("--ckpt", default="smolvlm.pt", help="checkpoint written by train, read by export")
    ap.add_argument("--blip", default="../weights/blip-shapes", help="where the vision tower starts")
    ap.add_argument("--llava", default="../weights/llava-shapes", help="where the decoder starts")
    ap.add_argument("--resume", default=None, help="checkpoint to go on from")
    ap.add_argument("--minutes", type=float, default=60)
    ap.add_argument("--steps", type=int, default=0, help="overrides --minutes when > 0")
    ap.add_argument("--batch", type=int, default=32)
    ap.add_argument("--questions", type=int, default=4)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--vision-lr", type=float, default=0.3, help="relative to --lr")
    ap.add_argument("--warmup", type=int, default=100)
    ap.add_argument("--patch-weight", type=float, default=0.2)
    ap.add_argument("--noun-weight", type=float, default=4.0)
    ap.add_argument("--blank", type=float, default=0.03, help="share of images replaced by none, to which the answer is 'neither'")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--log-every", type=int, default=50)
    ap.add_argument("--eval-every", type=float, default=5)
    ap.add_argument("--out", default="smolvlm-shapes")
    ap.add_argument("--model", default="smolvlm-shapes")
    ap.add_argument("--data", default="../data")
    ap.add_argument("--pairs", type=int, default=60, help="of each task, for analyse")
    ap.add_argument("--report", default=None)
    args = ap.parse_args()
    if args.cmd == "tokens":
        for w in list(M.TWO_PIECE) + M.SHAPES:
            print(w, [T.id_to_token(i) for i in ids_of(" " + w)])
        print(VOCAB, [T.id_to_token(i) for i in PREFIX[:4] + tail("is the circle striped or dotted?", "striped")[0]])
    else:
        dict(train=train, export=export, eval=evaluate, analyse=analyse)[args.cmd](args)


if __name__ == "__main__":
    main()
