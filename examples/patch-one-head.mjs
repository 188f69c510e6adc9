// Patches one cross-attention head: the corrupt image's run with the clean image's value at the answer's token.
import { fileURLToPath } from 'node:url';
import { findPhrase, loadModel, Processor, replace, runWithHooks } from 'notice-webgpu';
import { nodeFolder, openGpu, readImage } from 'notice-webgpu/node';

const root = fileURLToPath(new URL('..', import.meta.url));
const gpu = await openGpu();
const folder = await nodeFolder(`${root}weights/blip-shapes`);
const model = await loadModel(gpu, folder);
const processor = await Processor.load(model, folder);

const question = 'is the triangle inside the heart or ring?';
const [clean, corrupt] = await Promise.all(
  ['clean', 'corrupt'].map(async (name) =>
    processor.sample(await readImage(`${root}data/scenes/002_${name}.png`), question),
  ),
);

const { start } = findPhrase(processor.prompt(question).encoded, 'heart', 'only');
const patch = (head) =>
  replace(
    { hook: 'text_encoder.blocks.0.cross_attn.hook_z', run: 1, positions: [start], heads: [head] },
    { run: 0 },
  );
const heart = processor.tokenizer.tokenToId('heart');
const ring = processor.tokenizer.tokenToId('ring');
const difference = (logits) => logits[heart] - logits[ring];

const [cleanLogits, corruptLogits] = await runWithHooks(model, [clean, corrupt], {});
console.log(
  `logit difference heart − ring: clean ${difference(cleanLogits).toFixed(2)}, corrupt ${difference(corruptLogits).toFixed(2)}`,
);
for (let head = 0; head < 4; head++) {
  const [, patched] = await runWithHooks(model, [clean, corrupt], { interventions: [patch(head)] });
  console.log(
    `L0.H${head} patched: ${(difference(patched) - difference(corruptLogits)).toFixed(3)} restored`,
  );
}
gpu.destroy();
