// Samples in files, as transformers' processor of InstructBLIP writes them.

import { PICTURE_TENSORS, type SampleTensors } from '../sample-tensors.ts';

/** One picture with each prompt, and the prompts of the Q-Former [batch, position], padded, with their mask. */
export const INSTRUCTION_TENSORS: SampleTensors = {
  names: [...PICTURE_TENSORS.names, 'qformer_input_ids', 'qformer_attention_mask'],
  write: (samples) => {
    const rows = samples.map(({ instruction = [] }) => instruction);
    const length = Math.max(...rows.map((row) => row.length));
    const padded = (of: (id: number) => number) =>
      Int32Array.from(
        rows.flatMap((row) => Array.from({ length }, (_, p) => (p < row.length ? of(row[p] as number) : 0))),
      );
    const shape = [rows.length, length];
    return [
      ...PICTURE_TENSORS.write(samples),
      { name: 'qformer_input_ids', dtype: 'I32', shape, data: padded((id) => id) },
      { name: 'qformer_attention_mask', dtype: 'I32', shape, data: padded(() => 1) },
    ];
  },
  read: (file, prompts) => {
    const { shape, data } = file.integers('qformer_input_ids', 2);
    const [rows, length] = shape as [number, number];
    const mask = file.has('qformer_attention_mask') ? file.integers('qformer_attention_mask', 2) : undefined;
    if (rows !== prompts.length || (mask && `${mask.shape}` !== `${shape}`))
      file.fail(
        `expected qformer_input_ids [${prompts.length}, position] (and a mask of its shape), found [${shape.join(', ')}]` +
          (mask ? ` and [${mask.shape.join(', ')}]` : ''),
      );
    return PICTURE_TENSORS.read(file, prompts).map((sample, row) => {
      const at = Array.from({ length }, (_, p) => row * length + p);
      return { ...sample, instruction: at.filter((i) => mask?.data[i] !== 0).map((i) => data[i] as number) };
    });
  },
};
