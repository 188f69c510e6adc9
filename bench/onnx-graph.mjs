// ONNX models for the comparison, as exporters write them: weights transposed to [in, out], one node per operation.
import { createRequire } from 'node:module';

/** The part of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that these graphs need. */
const SCHEMA = `
syntax = "proto3";
message ModelProto { int64 ir_version = 1; GraphProto graph = 7; repeated OperatorSetId opset_import = 8; }
message OperatorSetId { string domain = 1; int64 version = 2; }
message GraphProto {
  repeated NodeProto node = 1; string name = 2; repeated TensorProto initializer = 5;
  repeated ValueInfo input = 11; repeated ValueInfo output = 12;
}
message NodeProto { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5; }
message Attribute { string name = 1; float f = 2; int64 i = 3; repeated int64 ints = 8; int32 type = 20; }
message TensorProto { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
message ValueInfo { string name = 1; TypeProto type = 2; }
message TypeProto { TensorType tensor_type = 1; }
message TensorType { int32 elem_type = 1; Shape shape = 2; }
message Shape { repeated Dim dim = 1; }
message Dim { int64 dim_value = 1; }
`;

const FLOAT = 1;
const INT64 = 7;

class Graph {
  #nodes = [];
  #initializers = [];
  #inputs = [];
  #values = 0;

  input(name, dims) {
    this.#inputs.push(valueInfo(name, dims));
    return name;
  }

  constant(values, dims) {
    const name = `c${this.#values++}`;
    const integers = values instanceof BigInt64Array;
    this.#initializers.push({
      name,
      dims,
      dataType: integers ? INT64 : FLOAT,
      rawData: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    });
    return name;
  }

  /** A node with one output. Attributes: numbers, whole or not, and lists of whole numbers. */
  op(opType, inputs, attributes = {}) {
    const output = `v${this.#values++}`;
    const attribute = Object.entries(attributes).map(([name, value]) => {
      if (Array.isArray(value)) return { name, ints: value, type: 7 };
      return Number.isInteger(value) ? { name, i: value, type: 2 } : { name, f: value, type: 1 };
    });
    this.#nodes.push({ opType, input: inputs, output: [output], attribute });
    return output;
  }

  reshape(value, dims) {
    return this.op('Reshape', [value, this.constant(BigInt64Array.from(dims, BigInt), [dims.length])]);
  }

  /** x · Wᵀ + b with a weight in PyTorch's order [out, in]. */
  linear(x, weight, bias, [out, width]) {
    const transposed = new Float32Array(out * width);
    for (let o = 0; o < out; o++)
      for (let i = 0; i < width; i++) transposed[i * out + o] = weight[o * width + i];
    const product = this.op('MatMul', [x, this.constant(transposed, [width, out])]);
    return bias ? this.op('Add', [product, this.constant(bias, [out])]) : product;
  }

  /** softmax(q kᵀ · scale) v for [1, heads, positions, d_head]. */
  attention(q, k, v, headSize) {
    const scores = this.op('MatMul', [q, this.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const scaled = this.op('Mul', [scores, this.constant(Float32Array.of(1 / Math.sqrt(headSize)), [])]);
    return this.op('MatMul', [this.op('Softmax', [scaled], { axis: -1 }), v]);
  }

  /** The encoded model with this value as its only output. */
  encode(output, dims) {
    const protobuf = createRequire(import.meta.url)('protobufjs');
    const model = protobuf.parse(SCHEMA).root.lookupType('ModelProto');
    return model
      .encode({
        irVersion: 9,
        opsetImport: [{ version: 20 }],
        graph: {
          name: 'bench',
          node: this.#nodes,
          initializer: this.#initializers,
          input: this.#inputs,
          output: [valueInfo(output, dims)],
        },
      })
      .finish();
  }
}

function valueInfo(name, dims) {
  return {
    name,
    type: { tensorType: { elemType: FLOAT, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  };
}

/** c = a · Wᵀ, W [n, k] */
export function matmulModel({ m, k, n }, weight) {
  const graph = new Graph();
  return graph.encode(graph.linear(graph.input('a', [m, k]), weight, undefined, [n, k]), [m, n]);
}

/** z of one attention layer */
export function attentionModel({ heads, positions, headSize }) {
  const graph = new Graph();
  const dims = [1, heads, positions, headSize];
  const [q, k, v] = ['q', 'k', 'v'].map((name) => graph.input(name, dims));
  return graph.encode(graph.attention(q, k, v, headSize), dims);
}

/**
 * BLIP's vision tower: patch embedding and `layers` blocks, and with all of them the final norm.
 *
 * @param {(name: string) => Float32Array} weight a tensor of the checkpoint, below `vision_model.`
 */
export function visionModel({ layers, ofLayers, width, heads, mlpWidth, imageSize, patchSize, eps }, weight) {
  const graph = new Graph();
  const side = imageSize / patchSize;
  const positions = side ** 2 + 1;
  const headSize = width / heads;
  const norm = (x, name) =>
    graph.op(
      'LayerNormalization',
      [x, ...['weight', 'bias'].map((part) => graph.constant(weight(`${name}.${part}`), [width]))],
      { axis: -1, epsilon: eps },
    );
  const linear = (x, name, out, from) =>
    graph.linear(x, weight(`${name}.weight`), weight(`${name}.bias`), [out, from]);
  const pixels = graph.input('pixel_values', [1, 3, imageSize, imageSize]);
  const kernel = graph.constant(weight('embeddings.patch_embedding.weight'), [
    width,
    3,
    patchSize,
    patchSize,
  ]);
  const kernelBias = graph.constant(weight('embeddings.patch_embedding.bias'), [width]);
  const square = [patchSize, patchSize];
  const patches = graph.op('Conv', [pixels, kernel, kernelBias], { kernel_shape: square, strides: square });
  const rows = graph.op('Transpose', [graph.reshape(patches, [1, width, side ** 2])], { perm: [0, 2, 1] });
  const classToken = graph.constant(weight('embeddings.class_embedding'), [1, 1, width]);
  const all = graph.op('Concat', [classToken, rows], { axis: 1 });
  const places = graph.constant(weight('embeddings.position_embedding'), [1, positions, width]);
  let x = graph.op('Add', [all, places]);
  for (let layer = 0; layer < layers; layer++) {
    const block = `encoder.layers.${layer}`;
    const qkv = linear(norm(x, `${block}.layer_norm1`), `${block}.self_attn.qkv`, 3 * width, width);
    const split = graph.op('Transpose', [graph.reshape(qkv, [1, positions, 3, heads, headSize])], {
      perm: [2, 0, 3, 1, 4],
    });
    const [q, k, v] = [0n, 1n, 2n].map((part) =>
      graph.op('Gather', [split, graph.constant(BigInt64Array.of(part), [])], { axis: 0 }),
    );
    const z = graph.op('Transpose', [graph.attention(q, k, v, headSize)], { perm: [0, 2, 1, 3] });
    const joined = graph.reshape(z, [1, positions, width]);
    x = graph.op('Add', [x, linear(joined, `${block}.self_attn.projection`, width, width)]);
    const hidden = linear(norm(x, `${block}.layer_norm2`), `${block}.mlp.fc1`, mlpWidth, width);
    x = graph.op('Add', [x, linear(graph.op('Gelu', [hidden]), `${block}.mlp.fc2`, width, mlpWidth)]);
  }
  if (layers === ofLayers) x = norm(x, 'post_layernorm');
  return graph.encode(x, [1, positions, width]);
}
