"""Matrices as quantized Hugging Face checkpoints hold them, and what other people's code decodes them to.

Used by make_encoding_goldens.py and check_encodings.py. KINDS maps a name to (function, quantization_config): the function takes a
float32 matrix [out, in] and gives the tensors of its module, by suffix, and the decoded matrix in float32. Weights are rounded to
nearest; only the decoding is of interest here. Decoding is by compressed-tensors, bitsandbytes, torch and transformers (PyPI), with
scales widened to float32 first, so that nothing is rounded to bf16 on the way. gptqmodel and autoawq do not install everywhere; their
decoding is called from their sources where GPTQMODEL and AUTOAWQ name the unpacked source distributions, and is otherwise written
down here from their format.
"""
import ast, importlib.util, os, types
import numpy as np
import torch

BLOCK = [24, 16]  # rows and columns of blocks of float8: the last are not whole


def bits_of(words, bits):
    """int32 [n, words] -> [n, words * 32 / bits] unsigned."""
    b = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    b = b[:, :b.shape[1] // bits * bits].reshape(len(b), -1, bits)
    return (b * (1 << np.arange(bits))).sum(-1).astype(np.int64)


def words_of(values, bits):
    b = (values[..., None] >> np.arange(bits) & 1).astype(np.uint8).reshape(len(values), -1)
    b = np.pad(b, ((0, 0), (0, -b.shape[1] % 32)))
    return torch.from_numpy(np.packbits(b, axis=-1, bitorder="little").view(np.int32).copy())


def round_groups(w, bits, group, symmetric, dtype, order=None):
    """q [out, in] unsigned, scale and zero [out, groups], and the group of each column."""
    out, cols = w.shape
    group = cols if group == -1 else group
    index = torch.arange(cols) // group
    if order is not None:
        index = index[order]
    groups, top = int(index.max()) + 1, (1 << bits) - 1
    scale, zero = torch.zeros(out, groups), torch.zeros(out, groups)
    for g in range(groups):
        part = w[:, index == g]
        low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        if symmetric:
            scale[:, g], zero[:, g] = part.abs().amax(1) / (top / 2), (top + 1) / 2
        else:
            scale[:, g] = (high - low) / top
            zero[:, g] = (-low / scale[:, g]).round().clamp(1, top)
    scale = scale.to(dtype)
    q = (w / scale.float()[:, index] + zero[:, index]).round().clamp(0, top)
    return q.numpy().astype(np.int64), scale, zero.numpy().astype(np.int64), index.int()


# ---- GPTQ and AWQ

def from_source(path, names, **globals_):
    """Functions of these names out of a Python file that cannot be imported whole; methods too."""
    tree = ast.parse(open(path).read())
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in names]
    space = {"t": torch, "torch": torch, **globals_}
    exec(compile("from __future__ import annotations\n" + "\n".join(ast.unparse(f) for f in found), path, "exec"), space)
    return space


def gptqmodel_decode(m, bits, v1):
    root = os.environ["GPTQMODEL"]
    layer = from_source(f"{root}/gptqmodel/nn_modules/qlinear/__init__.py",
                        ["_torch_right_shift", "_torch_left_shift", "_init_wf_unsqueeze_buffers", "dequantize_weight",
                         "_dequantize_from_codes"])
    self = types.SimpleNamespace(planar=False, bits=bits, pack_factor=32 // bits, maxq=2**bits - 1, qzeros=m["qzeros"].clone(),
                                 qweight=m["qweight"], scales=m["scales"].float(), g_idx=m["g_idx"], _buffers={},
                                 in_features=len(m["g_idx"]), enable_wf_unsqueeze=True, pack_dtype_bits=32,
                                 dequant_dtype=torch.int16 if bits == 8 else torch.int8, _wf_device=lambda: "cpu")
    if v1 and bits != 3:  # convert_gptq_v1_to_v2_format_module; 3 bits are decoded below
        self.qzeros += {2: 0x55555555, 4: 0x11111111, 8: 0x01010101}[bits]
    if v1 and bits == 3:
        z = (bits_of(self.qzeros.numpy(), 3) + 1) & 7
        self.qzeros = words_of(z, 3)
    self.register_buffer = lambda name, value, persistent: setattr(self, name, value)
    for f in ("_init_wf_unsqueeze_buffers", "_dequantize_from_codes"):
        setattr(self, f, types.MethodType(layer[f], self))
    return layer["dequantize_weight"](self).float().T.contiguous()


def gptq(bits, group, symmetric, v1, act, dtype=torch.float16):
    def make(w):
        order = torch.randperm(w.shape[1], generator=torch.Generator().manual_seed(1)) if act else None
        q, scale, zero, index = round_groups(w, bits, group, symmetric, dtype, order)
        stored = (zero - 1 if v1 else zero) & ((1 << bits) - 1)
        m = {"qweight": words_of(q, bits).T.contiguous(), "qzeros": words_of(stored.T, bits), "scales": scale.T.contiguous(),
             "g_idx": index}
        if "GPTQMODEL" in os.environ:
            return m, gptqmodel_decode(m, bits, v1)
        g = m["g_idx"].long()
        z = bits_of(m["qzeros"].numpy(), bits)
        z = torch.from_numpy((z + 1 if v1 else z) & ((1 << bits) - 1))[:, :w.shape[0]]
        codes = torch.from_numpy(bits_of(m["qweight"].T.numpy(), bits))[:, :w.shape[1]]
        return m, (codes - z[g].T).float() * m["scales"].float()[g].T
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": act, "sym": symmetric,
              "checkpoint_format": "gptq" if v1 else "gptq_v2"}
    return make, config


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def awq(group, dtype=torch.float16):
    def pack(values):  # [n, out] -> [n, out / 8]
        return words_of(values.reshape(-1, 8)[:, AWQ_ORDER].reshape(values.shape), 4)

    def make(w):
        q, scale, zero, _ = round_groups(w, 4, group, False, dtype)
        m = {"qweight": pack(q.T), "qzeros": pack(zero.T), "scales": scale.T.contiguous()}
        size = w.shape[1] if group == -1 else group
        if "AUTOAWQ" in os.environ:
            spec = importlib.util.spec_from_file_location("packing", os.environ["AUTOAWQ"] + "/awq/utils/packing_utils.py")
            packing = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(packing)
            return m, packing.dequantize_gemm(m["qweight"], m["qzeros"], m["scales"].float(), 4, size).T.contiguous()
        back = np.argsort(AWQ_ORDER)
        unpack = lambda t: bits_of(t.numpy(), 4).reshape(-1, 8)[:, back].reshape(t.shape[0], -1)
        g = np.arange(w.shape[1]) // size
        return m, torch.from_numpy((unpack(m["qweight"]) - unpack(m["qzeros"])[g]).T).float() * m["scales"].float()[g].T
    return make, {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"}


# ---- compressed-tensors

def compressed(format, dtype=torch.bfloat16, order=False, **args):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    weights = QuantizationArgs(**args)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    compressor = BaseCompressor.get_value_from_registry(format)

    def scales(w):
        """scale, zero point and global scale of each group, in the shapes that the library gives them."""
        out, cols = w.shape
        if weights.strategy == "block":
            height, width = weights.block_structure
            padded = torch.zeros(-(-out // height) * height, -(-cols // width) * width)
            padded[:out, :cols] = w
            parts = padded.reshape(padded.shape[0] // height, height, -1, width).transpose(1, 2).flatten(2)
        elif weights.strategy == "tensor":
            parts = w.reshape(1, 1, -1)
        elif weights.strategy == "channel":
            parts = w.reshape(out, 1, cols)
        else:
            parts = w.reshape(out, -1, weights.group_size)
        low, high, most = parts.amin(-1).clamp(max=0), parts.amax(-1).clamp(min=0), parts.abs().amax(-1)
        if weights.strategy == "tensor":
            low, high, most = low[0], high[0], most[0]
        if weights.type == "float":
            scale, zero = most / (448.0 if weights.num_bits == 8 else 6.0), None
        elif weights.symmetric:
            scale, zero = most / ((2**weights.num_bits - 1) / 2), None
        else:
            scale = (high - low) / (2**weights.num_bits - 1)
            zero = (-low / scale - 2**(weights.num_bits - 1)).round().clamp(-2**(weights.num_bits - 1), 2**(weights.num_bits - 1) - 1)
        return scale, zero

    def make(w):
        scale, zero = scales(w)
        state = {"weight": w}
        if format == "nvfp4-pack-quantized":
            state["weight_global_scale"] = (448 * 6 / w.abs().max()).reshape(1)
            scale = (scale * state["weight_global_scale"]).to(torch.float8_e4m3fn).float()
        elif format.startswith("mxfp"):
            scale = torch.exp2(scale.log2().ceil())
        else:
            scale = scale.to(dtype)
        state["weight_scale"] = scale
        if zero is not None:
            state["weight_zero_point"] = zero.to(torch.int8)
        m = {k: v.contiguous() for k, v in compressor.compress(state, scheme).items() if v is not None}
        wide = {k: v.float() if k == "weight_scale" and v.dtype in (torch.bfloat16, torch.float16) else v for k, v in m.items()}
        if format == "nvfp4-pack-quantized":  # decompress() itself computes in bf16
            from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
            from compressed_tensors.quantization.lifecycle.forward import dequantize
            decoded = dequantize(unpack_fp4_from_uint8(m["weight_packed"], *w.shape, dtype=torch.float32), m["weight_scale"].float(),
                                 args=weights, global_scale=m["weight_global_scale"])
        else:
            decoded = compressor.decompress(wide, scheme)["weight"].float()
        if order:  # columns in another order, their groups named: what the library did until 2026
            index = torch.randperm(w.shape[1], generator=torch.Generator().manual_seed(2))
            codes = unpack_columns(m["weight_packed"], weights.num_bits, w.shape)[:, index]
            m["weight_packed"] = words_of(codes.astype(np.int64), weights.num_bits)
            m["weight_g_idx"] = (index // weights.group_size).int()
            decoded = decoded[:, index].contiguous()
        return m, decoded

    config = {"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed",
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": {k: v for k, v in args.items()}}}, "ignore": ["lm_head"]}
    if "scale_dtype" in args:
        config["config_groups"]["group_0"]["weights"]["scale_dtype"] = "torch.uint8"
    if order:
        config["config_groups"]["group_0"]["weights"]["actorder"] = "group"
    return make, config


def unpack_columns(packed, bits, shape):
    return bits_of(packed.numpy(), bits)[:, :shape[1]]


# ---- 8-bit floats

def float8_blocks(size, kind=torch.float8_e4m3fn, dtype=torch.float32):
    def make(w):
        rows, cols = -(-w.shape[0] // size[0]), -(-w.shape[1] // size[1])
        spread = lambda s: s.repeat_interleave(size[0], 0)[:w.shape[0]].repeat_interleave(size[1], 1)[:, :w.shape[1]]
        padded = torch.zeros(rows * size[0], cols * size[1])
        padded[:w.shape[0], :w.shape[1]] = w
        scale = (padded.reshape(rows, size[0], cols, size[1]).abs().amax((1, 3)) / torch.finfo(kind).max).to(dtype)
        codes = (w / spread(scale.float())).to(kind)
        if w.shape[0] % size[0] == 0 and w.shape[1] % size[1] == 0:
            from transformers.integrations.finegrained_fp8 import Fp8Dequantize
            decoded = Fp8Dequantize(None)._dequantize_one(codes, scale.float(), torch.float32)
        else:
            decoded = codes.float() * spread(scale.float())
        return {"weight": codes, "weight_scale_inv": scale}, decoded
    return make, {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": size}


def float8_tensor(kind=torch.float8_e4m3fn):
    def make(w):
        scale = (w.abs().max() / torch.finfo(kind).max).reshape(())
        codes = (w / scale).to(kind)
        return {"weight": codes, "weight_scale": scale, "input_scale": torch.tensor(1.0)}, codes.float() * scale
    return make, {"quant_method": "modelopt", "quant_algo": "FP8"}


def float8_plain(kind):
    def make(w):
        return {"weight": w.to(kind)}, w.to(kind).float()
    return make, None


def modelopt_nvfp4():
    def make(w):
        from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
        out, cols = w.shape
        whole = w.abs().max() / (448 * 6)
        scale = (w.reshape(out, -1, 16).abs().amax(-1) / 6 / whole).to(torch.float8_e4m3fn)
        levels = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
        wide = scale.float() * whole
        q = ((w.reshape(out, -1, 16) / wide[..., None]).unsqueeze(-1) - levels).abs().argmin(-1).reshape(out, cols).to(torch.uint8)
        packed = q[:, ::2] | q[:, 1::2] << 4
        decoded = unpack_fp4_from_uint8(packed, out, cols, dtype=torch.float32).reshape(out, -1, 16) * wide[..., None]
        return {"weight": packed, "weight_scale": scale, "weight_scale_2": whole.reshape(())}, decoded.reshape(out, cols)
    return make, {"quant_method": "modelopt", "quant_algo": "NVFP4"}


# ---- bitsandbytes

def bitsandbytes_4bit(kind, nested, block=64):
    def make(w):
        import bitsandbytes.functional as F
        codes, state = F.quantize_4bit(w, quant_type=kind, compress_statistics=nested, blocksize=block)
        packed = state.as_dict(packed=True)
        again = F.QuantState.from_dict(dict(packed), "cpu")
        m = {"weight": codes, **{"weight." + k: v for k, v in packed.items()}}
        # As CUDA's kernels do. The CPU's kernel (0.50.2) begins a block anew in each row: wrong where one crosses rows.
        from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
        absmax = F.dequantize_blockwise(again.absmax, again.state2) + again.offset if nested else again.absmax
        return m, _dequantize_4bit_compute(codes.reshape(-1), absmax, again.code, block, tuple(w.shape), torch.float32)
    return make, {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": nested}


def bitsandbytes_int8():
    def make(w):
        import bitsandbytes.functional as F
        scale = w.abs().amax(1)
        codes = (w / scale[:, None] * 127).round().to(torch.int8)
        m = {"weight": codes, "SCB": scale, "weight_format": torch.tensor(0, dtype=torch.uint8)}
        return m, F.int8_vectorwise_dequant(codes, scale)
    return make, {"quant_method": "bitsandbytes", "load_in_8bit": True}


# ---- gpt-oss

def mxfp4_blocks(shape, seed):
    """_blocks and _scales of random experts [E, rows, cols], and what transformers decodes them to (turned back: [E, rows, cols])."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    g = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 256, (*shape[:-1], shape[-1] // 32, 16), generator=g, dtype=torch.uint8)
    scales = torch.randint(110, 130, blocks.shape[:-1], generator=g, dtype=torch.uint8)
    return blocks, scales, convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).transpose(1, 2).contiguous()


def kinds():
    sym = dict(num_bits=4, type="int", symmetric=True)
    asym = dict(num_bits=4, type="int", symmetric=False)
    fp4 = dict(num_bits=4, type="float", symmetric=True)
    return {
        "gptq-4": gptq(4, 32, True, True, False),
        "gptq-4-order": gptq(4, 16, False, True, True),
        "gptq-4-asymmetric": gptq(4, 32, False, False, False),
        "gptq-8": gptq(8, -1, True, False, False),
        "gptq-8-asymmetric": gptq(8, 32, False, True, False),
        "gptq-3": gptq(3, 32, False, True, False),
        "gptq-2": gptq(2, 16, False, False, True, torch.bfloat16),
        "awq": awq(32),
        "awq-whole": awq(-1),
        "packed-4": compressed("pack-quantized", **sym, strategy="group", group_size=32),
        "packed-4-asymmetric": compressed("pack-quantized", **asym, strategy="group", group_size=16),
        "packed-4-channel": compressed("pack-quantized", torch.float16, **asym, strategy="channel"),
        "packed-4-order": compressed("pack-quantized", order=True, **sym, strategy="group", group_size=16),
        "packed-8": compressed("pack-quantized", num_bits=8, type="int", symmetric=True, strategy="channel"),
        "packed-3": compressed("pack-quantized", torch.float32, num_bits=3, type="int", symmetric=True, strategy="group", group_size=32),
        "packed-6-tensor": compressed("pack-quantized", num_bits=6, type="int", symmetric=False, strategy="tensor"),
        "int-quantized": compressed("int-quantized", num_bits=8, type="int", symmetric=True, strategy="channel"),
        "int-quantized-asymmetric": compressed("int-quantized", num_bits=8, type="int", symmetric=False, strategy="group", group_size=16),
        "float-quantized": compressed("float-quantized", num_bits=8, type="float", symmetric=True, strategy="channel"),
        "float-quantized-tensor": compressed("float-quantized", num_bits=8, type="float", symmetric=True, strategy="tensor"),
        "float-quantized-block": compressed("float-quantized", num_bits=8, type="float", symmetric=True, strategy="block", block_structure=[32, 16]),
        "mxfp8-quantized": compressed("mxfp8-quantized", num_bits=8, type="float", symmetric=True, strategy="group", group_size=32,
                                      scale_dtype=torch.uint8),
        "nvfp4": compressed("nvfp4-pack-quantized", **fp4, strategy="tensor_group", group_size=16),
        "mxfp4": compressed("mxfp4-pack-quantized", **fp4, strategy="group", group_size=32),
        "fp8-blocks": float8_blocks(BLOCK),
        "fp8-blocks-whole": float8_blocks([16, 16], dtype=torch.bfloat16),
        "fp8-tensor": float8_tensor(),
        "f8-e4m3": float8_plain(torch.float8_e4m3fn),
        "f8-e5m2": float8_plain(torch.float8_e5m2),
        "modelopt-nvfp4": modelopt_nvfp4(),
        "bnb-nf4": bitsandbytes_4bit("nf4", True),
        "bnb-fp4": bitsandbytes_4bit("fp4", False),
        "bnb-int8": bitsandbytes_int8(),
    }


# ---- whole models

def tiny_llama(dim, ffn, layers, vocab, heads=2, kv=1, seed=0):
    """config and float32 weights of a random Llama."""
    g = torch.Generator().manual_seed(seed)
    head = dim // heads
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": dim, "intermediate_size": ffn,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocab,
              "tie_word_embeddings": True, "hidden_act": "silu", "rms_norm_eps": 1e-5, "dtype": "bfloat16"}
    w = {"model.embed_tokens.weight": torch.randn(vocab, dim, generator=g), "model.norm.weight": torch.ones(dim)}
    for i in range(layers):
        p = f"model.layers.{i}."
        w[p + "input_layernorm.weight"] = w[p + "post_attention_layernorm.weight"] = torch.ones(dim)
        for name, rows, cols in (("self_attn.q_proj", dim, dim), ("self_attn.k_proj", kv * head, dim),
                                 ("self_attn.v_proj", kv * head, dim), ("self_attn.o_proj", dim, dim), ("mlp.gate_proj", ffn, dim),
                                 ("mlp.up_proj", ffn, dim), ("mlp.down_proj", dim, ffn)):
            w[p + name + ".weight"] = torch.randn(rows, cols, generator=g) * cols**-0.5
    return config, w


def encode(weights, make, config, quantization):
    """The checkpoint's tensors, its config, and every tensor's value in float32."""
    tensors, values = {}, {}
    for name, w in weights.items():
        if "_proj" not in name:
            tensors[name] = w.bfloat16()
            values[name] = tensors[name].float()
            continue
        module, values[name] = make(w.float())
        tensors.update({name[:-6] + k: v.contiguous().clone() for k, v in module.items()})
    return tensors, dict(config, **({"quantization_config": quantization} if quantization else {})), values
