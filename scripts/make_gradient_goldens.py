#!/usr/bin/env python3
"""tests/data/gradients/: the gradients that torch finds on the checkpoints of tests/data/families, for `make test` to
compare with.

    pip install torch transformers safetensors
    scripts/make_gradient_goldens.py FAMILIES_DIR OUT_DIR [--only NAME...]     (NAME: a case, or a beginning: gemma)

The loss is the sum of -log p(y_t) over all positions t of all sequences, the last ones included, with
y_t = (7 * ids[t] + 3 * t + 1) mod vocabulary, t from 0 in each sequence. Arithmetic is f64 but where transformers' own
code goes through f32 (norms, rotary angles), attention is as make_family_goldens.py has it.

{"case", "transformers", "loss", "noise", "tensors": [[name, norm, p0, p1, p2, p3], ...]}: an entry for each matrix by
its name in the checkpoint (stacks of experts too; heads, norms, biases and learned positions not): the Frobenius norm
of its gradient dW, and p_k = sum over i of u_i dW_i, with u_i in [-1, 1) by the rule of make_family_goldens.py for the
name "k NAME" and seed 0. An error E in dW changes p_k by about |E| / sqrt 3, whichever elements it is in: that is how a
few numbers tell how far off all are. Of a tied embedding the gradient is that of the rows looked up, without the
head's part.

"noise" is how far f32 arithmetic in torch is from that: the largest |E| / |dW| of any tensor (|dW| at least a hundredth
of the largest)."""
import argparse
import json
import os
import re
import tempfile

import torch
import transformers
from family_cases import CASES
from make_family_goldens import load, stream, values, write_json
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

PROJECTIONS = 4
LEFT_OUT = r"bias$|norm|\.wpe\.|^wpe\.|embed_positions|sinks|lm_head|embed_out|vision_tower|multi_modal_projector"


def labels(ids, vocab):
    return torch.tensor([(7 * token + 3 * t + 1) % vocab for t, token in enumerate(ids)])


def gradients(directory, case, golden, dtype):
    """(the loss, {parameter: its gradient}) of all sequences."""
    model, _ = load(directory, dtype, case.get("attention", "eager"))
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embedding.weight:  # from now on they are two
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
    embedding.padding_idx = None  # where torch leaves the gradient out
    vocab = getattr(model.config, "text_config", model.config).vocab_size
    total = 0.0
    for sequence in golden["sequences"]:
        logits = model(torch.tensor(sequence["ids"])[None]).logits[0]
        loss = -logits.double().log_softmax(-1).gather(1, labels(sequence["ids"], vocab)[:, None]).sum()
        loss.backward()
        total += loss.item()
    return total, {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}


def under_file_names(case, directory, grads):
    """By the names and in the shapes that the checkpoint has: saved as if they were weights."""
    write_json(f"{directory}/config.json", case["config"])
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(directory)).double()
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(grads[name])
    model.save_pretrained(f"{directory}/saved")
    with safe_open(f"{directory}/saved/model.safetensors", "pt") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}
    for pattern, replacement in case.get("rename", ()):
        tensors = {re.sub(pattern, replacement, name): tensor for name, tensor in tensors.items()}
    return {name: t for name, t in tensors.items() if t.dim() > 1 and not re.search(LEFT_OUT, name)}


def project(name, tensor, k):
    u = torch.from_numpy(stream(f"{k} {name}", 0, tensor.numel()).astype("float64") * 2.0**-23 - 1)
    return (u * tensor.flatten()).sum().item()


def make(name, golden):
    case = CASES[name]
    with tempfile.TemporaryDirectory() as directory:
        seed = golden["seed"]
        write_json(f"{directory}/config.json", golden["config"])
        save_file({t[0]: values(t[0], seed, *t[1:]) for t in golden["tensors"]}, f"{directory}/model.safetensors",
                  metadata={"format": "pt"})
        loss, exact = gradients(directory, case, golden, torch.float64)
        _, single = gradients(directory, case, golden, torch.float32)
        exact = under_file_names(case, directory, exact)
        single = under_file_names(case, directory, {n: g.double() for n, g in single.items()})
    assert set(exact) <= {t[0] for t in golden["tensors"]}, set(exact) - {t[0] for t in golden["tensors"]}
    largest = max(t.norm().item() for t in exact.values())
    noise = max(((single[n] - t).norm() / max(t.norm().item(), largest / 100)).item() for n, t in exact.items())
    digits = lambda x: float(f"{x:.7g}")
    tensors = [[n, digits(t.norm().item()), *(digits(project(n, t, k)) for k in range(PROJECTIONS))]
               for n, t in sorted(exact.items())]
    flat = [n for n, t in exact.items() if not t.norm()]
    print(f"{name:28} loss {loss:9.3f}  {len(tensors):4} tensors  f32 - f64 {noise:.1e}"
          f"{'  no gradient: ' + ' '.join(flat) if flat else ''}", flush=True)
    return {"case": name, "transformers": transformers.__version__, "loss": digits(loss),
            "noise": float(f"{noise:.2g}"), "tensors": tensors}


def dump(golden, path):
    """One tensor a line, so that a change shows in a diff."""
    one = lambda value: json.dumps(value, separators=(",", ":"))
    with open(path, "w") as f:
        f.write("{" + ",\n".join(f"{one(k)}:{one(golden[k])}" for k in ("case", "transformers", "loss", "noise")))
        f.write(',\n"tensors":[\n' + ",\n".join(map(one, golden["tensors"])) + "]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[""])
    parser.add_argument("families", metavar="FAMILIES_DIR")
    parser.add_argument("out", metavar="OUT_DIR")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    os.makedirs(options.out, exist_ok=True)
    failed = []
    for name in CASES:
        path = f"{options.families}/{name}.json"
        if not os.path.exists(path) or not any(name.startswith(only) for only in options.only):
            continue
        try:
            with open(path) as f:
                dump(make(name, json.load(f)), f"{options.out}/{name}.json")
        except Exception as error:
            failed.append(name)
            print(f"{name:28} {type(error).__name__}: {error}", flush=True)
    if failed:
        raise SystemExit(f"not made: {' '.join(failed)}")


if __name__ == "__main__":
    main()
