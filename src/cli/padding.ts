// Activations of prompts that came with padding: back to the padded positions, zeros where nothing was computed.

import type { Sample, VisionLanguageModel } from '../models/index.ts';

/** Which dimensions of an activation are positions of the prompt. */
function promptAxes(model: VisionLanguageModel, name: string): number[] {
  const [tower = ''] = name.split('.');
  const square = /hook_(attn_scores|pattern)$/.test(name);
  const cross = name.includes('cross_attn');
  const keys = /cross_attn\.hook_[kv]$/.test(name);
  if (tower === model.promptTower) {
    if (keys) return [];
    return square ? (cross ? [2] : [2, 3]) : [1];
  }
  if (model.towers.indexOf(tower) < model.towers.indexOf(model.promptTower)) return [];
  // A tower that attends to what was made of the prompt.
  if (cross) return square ? [3] : keys ? [1] : [];
  return [];
}

/** Shape with the prompt's padded length, and a function that moves values there. */
export function padPositions(
  model: VisionLanguageModel,
  name: string,
  shape: readonly number[],
  samples: readonly Sample[],
  length: number,
): { shape: number[]; arrange: (data: Float32Array) => Float32Array } {
  const axes = promptAxes(model, name);
  const padded = shape.map((size, axis) => (axes.includes(axis) ? length : size));
  const arrange = (data: Float32Array): Float32Array => {
    const out = new Float32Array(padded.reduce((product, size) => product * size, 1));
    const index = shape.map(() => 0);
    for (let i = 0; i < data.length; i++) {
      let rest = i;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const size = shape[axis] as number;
        index[axis] = rest % size;
        rest = Math.floor(rest / size);
      }
      const { ids, places } = samples[index[0] as number] as Sample;
      if (axes.some((axis) => (index[axis] as number) >= ids.length)) continue;
      const at = index.reduce((sum, value, axis) => {
        const moved = axes.includes(axis) ? (places?.[value] ?? value) : value;
        return sum * (padded[axis] as number) + moved;
      }, 0);
      out[at] = data[i] as number;
    }
    return out;
  };
  return { shape: padded, arrange };
}
