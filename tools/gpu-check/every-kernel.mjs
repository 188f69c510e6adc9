// Calls the kernels' wrappers in every way that makes a kernel of its own: for tests of the WGSL, and for the check by
// compilers. `K` is src/kernels, as sources or compiled.

const TYPES = ['f32', 'f16', 'bf16'];
const ACTIVATIONS = ['none', 'gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];
const OPS = ['replace', 'zero', 'add', 'scale', 'interpolate'];

const buffer = { label: 'any' };
const tensor = (rows, columns) => ({ buffer, rows, columns, stride: columns, offset: 0 });
const vector = { name: 'vector', length: 8, buffer };
const weight = (type, columns = 8) => {
  const stride = 4 * Math.ceil(columns / 4);
  return { name: 'weight', type, rows: 8, columns, stride, parts: [{ buffer, firstRow: 0, rows: 8 }] };
};
const quantized = (type, columns = 64) => {
  const part = { buffer, scales: buffer, firstRow: 0, rows: 8 };
  return { name: 'weight', type, rows: 8, columns, stride: columns, parts: [part] };
};

/** A work that does nothing but say what is dispatched. */
export function onlyDispatching(capabilities, dispatch) {
  return {
    capabilities,
    dispatch,
    acquire: () => buffer,
    uploadWords: () => buffer,
    shareWords: () => buffer,
    empty: tensor,
    release: () => {},
    copy: () => {},
    clear: () => {},
  };
}

/** A tape that walks every note back at once. */
function hastyTape(w) {
  const walk = (accumulate) => ({
    w,
    gradient: (x) => x,
    into: (x) => ({ tensor: x, accumulate }),
    move: () => false,
    overwritten: () => {},
  });
  return {
    isLive: () => true,
    changing: () => {},
    refuse: () => {},
    note: ({ operator, saves = [], backward }) => {
      for (const accumulate of operator === 'attention values' ? [false] : [false, true])
        backward(walk(accumulate), saves);
    },
  };
}

/** Every wrapper, and its derivative; of the matrix products those that the shapes [1, 8] and [8, 8] get. */
export function callEveryKernel(K, w) {
  for (const work of [w, { ...w, tape: hastyTape(w) }]) {
    callMatmuls(K, work);
    callElementwise(K, work);
    callEmbeddings(K, work);
    callHooks(K, work);
    callAttention(K, work);
    callImages(K, work);
    callMetrics(K, work);
  }
}

function callMatmuls(K, w) {
  for (const rows of [1, 8])
    for (const bias of [undefined, vector])
      for (const residual of [undefined, tensor(rows, 8)]) {
        for (const type of TYPES) K.matmul(w, tensor(rows, 8), weight(type), { bias, residual });
        for (const activation of ACTIVATIONS)
          K.matmul(w, tensor(rows, 8), weight('f32'), { bias, residual, activation });
      }
  for (const type of ['nf4', 'int8']) {
    const codes = quantized(type);
    for (const rows of [1, 4, 17])
      for (const bias of [undefined, vector])
        for (const residual of [undefined, tensor(rows, 8)])
          K.matmul(w, tensor(rows, 64), codes, { bias, residual });
    K.matmul(w, tensor(1, 4096), quantized(type, 4096)); // more chunks are done side by side
    for (const from of TYPES)
      K.quantize(w, { buffer, type: from, rows: 8 }, codes, codes.parts[0], 0, buffer);
  }
}

function callElementwise(K, w) {
  const x = tensor(8, 8);
  for (const activation of ACTIVATIONS) for (const gate of [undefined, x]) K.activate(w, x, activation, gate);
  for (const activation of ACTIVATIONS) K.activationBackward(w, x, activation, x);
  K.add(w, x, x);
  for (const shift of [undefined, vector]) {
    K.normalize(w, x, { scale: vector, shift, eps: 1e-5 });
    K.normalizeFrozen(w, x, { first: 0, count: 8 }, tensor(1, 8), { scale: vector, shift, eps: 1e-5 });
  }
  K.normalizeHeads(w, x, 1, { scale: vector, eps: 1e-5 });
  K.gatherRows(w, x, Uint32Array.of(0), tensor(1, 8));
  K.addRows(w, x, x, Uint32Array.of(0, 1));
  K.blendRows(w, x, [new Array(4).fill([0, 0.25])], x);
  K.meanRows(w, x, [[0]]);
  K.rotate(w, x, 2, buffer, buffer);
  K.rowDots(w, x, x, x, 2);
}

function callEmbeddings(K, w) {
  for (const type of TYPES) {
    K.embedTokens(w, [0], weight(type));
    K.embedTokens(w, [0], weight(type), [0], weight(type));
    K.embedImage(w, tensor(7, 8), vector, weight(type));
    K.addPositions(w, tensor(1, 8), weight(type), [new Array(4).fill([0, 0.25])]);
  }
  K.imagePatches(w, tensor(1, 12), 2, 2, 1);
}

function callHooks(K, w) {
  const x = tensor(8, 8);
  const cut = { entry: 0, firstHead: 0, heads: 1, firstColumn: 0, columns: 1, counter: 0 };
  K.cutScores(w, x, 1, [cut], buffer);
  K.silenceRows(w, x, x, [0]);
  K.spreadHeads(w, x, 2);
  const edit = { row: 0, firstColumn: 0, columns: 1, source: 1, alpha: 1, counter: 0 };
  for (const op of OPS) for (const source of [undefined, x]) K.intervene(w, x, op, [edit], buffer, source);
  K.customHook(w, x, 8, [{ row: 0, batch: 0, position: 0 }], 'return value;');
}

function callAttention(K, w) {
  for (const count of [1, 4, 6, 8]) // each gets tiles of its own height
    for (const headSize of [4, 2])
      for (const first of [0, 1])
        for (const scoreSoftcap of [undefined, 50]) {
          const queries = Array.from({ length: count }, (_, query) => ({
            query,
            out: query,
            first,
            keys: 2,
          }));
          const plan = K.planAttention([{ keys: Uint32Array.of(0, 1), queries }], 1, 1e9);
          const tables = K.uploadPlan(w, plan);
          const rows = tensor(8, headSize);
          for (const chunk of plan.chunks) {
            const shape = { heads: 1, keyHeads: 1, headSize, scoreSoftcap };
            const scores = K.attentionScores(w, rows, rows, shape, tables, chunk);
            for (const cut of [false, true]) K.attentionSoftmax(w, scores, 1, tables, chunk, cut);
            K.attentionValues(w, scores, rows, rows, shape, tables, chunk);
          }
        }
}

function callImages(K, w) {
  for (const channels of [3, 4]) {
    const maps = { x: tensor(4, channels), images: 1, height: 2, width: 2 };
    K.convolve(w, maps, { ...weight('f32'), columns: 9 * channels, stride: 36 });
  }
  const maps = { x: tensor(8, 8), images: 1, height: 2, width: 4 };
  const norm = { groups: 2, scale: vector, shift: vector, eps: 1e-5 };
  for (const activation of ['none', 'silu']) K.normalizeGroups(w, maps, norm, activation);
  K.mix(w, tensor(1, 4), 1, K.guide(w, tensor(2, 4), 8), 1);
}

function callMetrics(K, w) {
  const x = tensor(8, 8);
  const row = { logits: 0, scores: 0, metric: { kind: 'logit', token: 0 } };
  K.topLogits(w, x, 2);
  K.tokenRanks(w, x, [0]);
  K.rowNorms(w, x);
  K.rowDots(w, x, x, x, 2);
  K.logSumExp(w, x, [[0]]);
  K.metricValues(w, x, tensor(1, 3), [row]);
  K.metricGradients(w, x, tensor(1, 3), [row]);
  K.restoration(w, tensor(1, 3), [{ patched: 0, corrupt: 0, clean: 0 }]);
}

/** The matrix products that the library chooses, of every class of shapes and type of weights, with the epilogues of models. */
export function callDefaultMatmuls(K, w) {
  for (const { type, candidates } of K.tuningTasks(w.capabilities)) {
    const variant = candidates[0];
    for (const options of type === 'f32' ? epilogues(8) : [{}, whole(8)])
      K.matmul(w, tensor(8, 8), weight(type), { ...options, variant });
    if (type === 'f32') K.matmul(w, tensor(8, 6), weight(type, 6), { ...whole(8), variant }); // K is no multiple of 4
  }
  for (const type of ['nf4', 'int8'])
    for (const rows of [1, 4])
      for (const options of epilogues(rows)) K.matmul(w, tensor(rows, 64), quantized(type), options);
}

const whole = (rows) => ({ bias: vector, activation: 'gelu', residual: tensor(rows, 8) });

function epilogues(rows) {
  const sums = [undefined, vector].flatMap((bias) =>
    [undefined, tensor(rows, 8)].map((residual) => ({ bias, residual })),
  );
  return [...sums, ...ACTIVATIONS.map((activation) => ({ bias: vector, activation })), whole(rows)];
}

/** What `notice bench --tune` tries besides the defaults. */
export function callCandidates(K, w) {
  for (const { type, candidates } of K.tuningTasks(w.capabilities))
    for (const variant of candidates.slice(1)) callPlainMatmul(K, w, type, variant);
}

/** A product without an epilogue. */
export function callPlainMatmul(K, w, type, variant) {
  K.matmul(w, tensor(8, 8), weight(type), { variant });
}
